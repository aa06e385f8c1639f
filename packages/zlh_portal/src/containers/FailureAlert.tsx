/** Why a container is not well, and what can be done about it. */
import { Alert, Button, Code, Group, Stack, Text } from "@mantine/core";
import type { ContainerStatus, Step } from "../api/types";
import { useServerNow } from "../layout/clock";
import { Name } from "../layout/Name";
import { capitalize, isolate } from "../layout/words";
import { useRights } from "../session/session";
import { adviseOn } from "./advice";
import { usePower } from "./queries";
import { describeDegradation, findTroubles } from "./states";
import { isOfRuntime, titleOf } from "./stepNames";
import { tellTries } from "./timeline";
import { Said } from "../layout/Said";
import { tellProblem } from "../layout/tell";

export function FailureAlert({ status }: { status: ContainerStatus }) {
  const { provisioningError: failure } = status;
  const troubles = findTroubles(status);
  if (!failure && troubles.length === 0) return null;
  return (
    <Stack gap="sm">
      {failure && <Failure status={status} failure={failure} />}
      {troubles.length > 0 && (
        <Alert color="orange" title="Not everything works" data-testid="degraded">
          {troubles.map((reason) => <Text key={reason} size="sm"><Said text={describeDegradation(reason)} /></Text>)}
        </Alert>
      )}
    </Stack>
  );
}

function Failure({ status, failure }: { status: ContainerStatus; failure: NonNullable<ContainerStatus["provisioningError"]> }) {
  const at = status.steps.findIndex(({ name }) => name === failure.step);
  const step = status.steps[at];
  return (
    <Alert color="red" title={`“${isolate(titleOf(failure.step))}” has failed`} role="alert" data-testid="failure">
      {step && <Text size="xs" mb={4}>Step {at + 1} of {status.steps.length}</Text>}
      <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={failure.message} /></Text>
      <Text size="sm" mt={6}>{adviseOn(failure.code, failure.step, status.lifecycle)}</Text>
      <Group mt={6} gap="sm">
        {step && <Retry status={status} step={step} />}
        <Text size="xs">Code <Code><Name text={failure.code} /></Code></Text>
      </Group>
    </Alert>
  );
}

/** When it is tried again, and a way not to wait for that: any wish is worked on at once, the one for what is wanted too. */
function Retry({ status, step }: { status: ContainerStatus; step: Step }) {
  const power = usePower(status.vmid);
  const may = useRights(status);
  const now = useServerNow(Boolean(step.nextTryAt), 250);
  const tries = tellTries(step, now);
  const isOffered = may.power && step.state === "failed" && !isOfRuntime(step.name);
  const retry = () =>
    power.mutate(status.power === "on" ? "start" : "stop", {
      onError: tellProblem("It was not tried again"),
    });
  return (
    <>
      {isOffered && <Button size="compact-sm" variant="default" loading={power.isPending} onClick={retry}>Try again now</Button>}
      {tries && <Text size="xs" className="numbers" data-testid="failure-tries">{capitalize(tries)}</Text>}
    </>
  );
}

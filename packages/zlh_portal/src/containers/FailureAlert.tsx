/** Why a container is not well, and what can be done about it. */
import { Alert, Code, Stack, Text } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { describeDegradation } from "./states";
import { adviseOn, titleOf } from "./timeline";

export function FailureAlert({ status }: { status: ContainerStatus }) {
  const { provisioningError: failure, degraded, suspended } = status;
  if (!failure && degraded.length === 0 && !suspended) return null;
  return (
    <Stack gap="sm">
      {failure && (
        <Alert color="red" title={`“${titleOf(failure.step)}” has failed`} role="alert" data-testid="failure">
          <Text size="sm">{failure.message}</Text>
          <Text size="sm" mt={6}>{adviseOn(failure.code, failure.step, status.lifecycle)}</Text>
          <Text size="xs" c="dimmed" mt={6}>Code <Code>{failure.code}</Code></Text>
        </Alert>
      )}
      {degraded.length > 0 && (
        <Alert color="orange" title="Not everything works" data-testid="degraded">
          {degraded.map((reason) => <Text key={reason} size="sm">{describeDegradation(reason)}</Text>)}
        </Alert>
      )}
      {suspended && <Alert color="orange" title="Suspended">Your operator has suspended this container. Its files are kept.</Alert>}
    </Stack>
  );
}

/** The workspace of a dev container: what it was made of, how that went, and whether its user may become root. */
import { Button, Code, Group, Stack, Switch } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { useRights } from "../session/session";
import classes from "./containers.module.css";
import { usePatch, useRetryWorkspace } from "./queries";
import { StepList } from "./StepsTimeline";
import { offerRetry, stepsOfWorkspace } from "./workspace";

export function WorkspaceCard({ status }: { status: ContainerStatus }) {
  const may = useRights(status);
  const patch = usePatch(status.vmid);
  const { sudo, repository, hasStartScript } = status.workspace;
  const steps = stepsOfWorkspace(status);
  return (
    <Stack gap="sm" data-testid="workspace">
      <dl className={classes["facts"]}>
        <dt>Repository</dt>
        <dd>{repository ? <Code style={{ overflowWrap: "anywhere" }}><Name text={repository.url} />{repository.branch && <> (<Name text={repository.branch} />)</>}</Code> : "None"}</dd>
        <dt>Start script</dt>
        <dd>{hasStartScript ? "Yes, its text is shown to nobody" : "None"}</dd>
        <dt>sudo</dt>
        <dd>
          <Switch
            size="sm" checked={sudo} disabled={!may.change || patch.isPending} label={sudo ? "dev becomes root without a password" : "Off"} aria-label="Allow sudo"
            onChange={({ currentTarget: { checked } }) => patch.mutate({ sudo: checked })}
          />
        </dd>
      </dl>
      {patch.error && <Problem error={patch.error} title="sudo was not switched" />}
      {steps.length > 0 && <StepList steps={steps} />}
      {may.change && <Retry status={status} />}
    </Stack>
  );
}

function Retry({ status }: { status: ContainerStatus }) {
  const retry = useRetryWorkspace(status.vmid);
  const offer = offerRetry(status);
  return (
    <>
      {retry.error && <Problem error={retry.error} title="That was refused" />}
      {offer && <Group gap="xs"><Button size="compact-sm" variant="default" loading={retry.isPending} onClick={() => retry.mutate()}>{offer}</Button></Group>}
    </>
  );
}

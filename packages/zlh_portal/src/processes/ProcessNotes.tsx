/** What there is to know about a process beside its state: the reason, the last end, and a command that waits. */
import { Alert, Button, Group, Text } from "@mantine/core";
import type { Process } from "../api/types";
import { TimeAgo } from "../layout/TimeAgo";
import { useAct } from "./queries";
import { describeEnd } from "./states";
import { Said } from "../layout/Said";
import { tellProblem } from "../layout/tell";

export function ProcessNotes({ vmid, process, mayRestart }: { vmid: number; process: Process; mayRestart: boolean }) {
  const { status } = process;
  if (!status) return null;
  const end = describeEnd(status);
  const isBad = status.state === "error" || status.state === "backoff";
  return (
    <>
      {status.reason && (
        <Text size="sm" c={isBad ? "red" : "dimmed"} style={{ overflowWrap: "anywhere" }} data-testid="process-reason"><Said text={status.reason.message} /></Text>
      )}
      <Group gap="xs" c="dimmed" className="numbers">
        {status.pid !== null && <Text size="xs">pid {status.pid}</Text>}
        {status.startedAt && status.pid !== null && <Text size="xs" component="div">started <TimeAgo time={status.startedAt} /></Text>}
        {status.restarts > 0 && <Text size="xs">{status.restarts === 1 ? "1 restart" : `${status.restarts} restarts`} in a row</Text>}
        {end && <Text size="xs" component="div" data-testid="last-end">{status.pid === null ? end : `last time: ${end.charAt(0).toLowerCase()}${end.slice(1)}`}{status.exitedAt && <>, <TimeAgo time={status.exitedAt} /></>}</Text>}
      </Group>
      {status.outdated && <Outdated vmid={vmid} process={process} mayRestart={mayRestart} />}
    </>
  );
}

function Outdated({ vmid, process, mayRestart }: { vmid: number; process: Process; mayRestart: boolean }) {
  const act = useAct(vmid, process.name);
  const restart = () =>
    act.mutate("restart", {
      onError: tellProblem(`${process.name} was not restarted`),
    });
  return (
    <Alert color="orange" p="xs" data-testid="outdated">
      <Group gap="xs" justify="space-between">
        <Text size="sm">It still runs what it was started with.</Text>
        {mayRestart && process.power === "on" && <Button size="compact-sm" variant="light" color="orange" loading={act.isPending} onClick={restart}>Restart to apply the changed command</Button>}
      </Group>
    </Alert>
  );
}

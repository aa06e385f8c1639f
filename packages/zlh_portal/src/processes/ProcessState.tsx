/** How a process is: its state, whether it is ready, and what happens by itself next. */
import { Group, Text } from "@mantine/core";
import type { Process } from "../api/types";
import { useServerNow } from "../layout/clock";
import { ToneBadge } from "../layout/ToneBadge";
import { describeState, findDeadline } from "./states";

export function ProcessState({ process }: { process: Process }) {
  const { status } = process;
  return (
    <Group gap={6}>
      <ToneBadge words={describeState(process)} testId="process-state" />
      {status?.state === "running" && (
        <ToneBadge
          testId="process-ready"
          words={status.ready ? { label: "Ready", tone: "good", meaning: readyMeaning(process) } : { label: "Not ready", tone: "warn", meaning: readyMeaning(process) }}
        />
      )}
      <Countdown process={process} />
    </Group>
  );
}

function Countdown({ process }: { process: Process }) {
  const deadline = findDeadline(process.status);
  const now = useServerNow(deadline !== null, 500);
  return deadline && <Text size="sm" className="numbers" data-testid="countdown">{deadline.tell(now)}</Text>;
}

function readyMeaning({ policy, status }: Process): string {
  const { probe } = policy.ready;
  if (!probe) return "It has no probe, so it counts as ready while it runs.";
  const isReady = status?.ready === true;
  switch (probe.kind) {
    case "log":
      return isReady ? "The line that tells so was printed." : "The line that tells so was not printed yet.";
    case "tcp":
      return `Port ${probe.port} ${isReady ? "takes connections" : "takes no connections"}.`;
    case "http":
      return `Port ${probe.port} ${isReady ? "answers" : "does not answer"} to GET ${probe.path}.`;
    case "line":
      return isReady ? "The line that tells so was printed, and a status ping is answered where one is asked for." : "The line that tells so was not printed yet, or no status ping is answered.";
    case "minecraft":
      return `Port ${probe.port} ${isReady ? "answers" : "does not answer"} to a status ping.`;
  }
}

/** The programs that the agent keeps running. */
import { Group, Text } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { TimeAgo } from "../layout/TimeAgo";

type Process = ContainerStatus["processes"][number];

export function ProcessList({ processes }: { processes: readonly Process[] }) {
  return processes.map((process) => (
    <Group key={process.name} justify="space-between" mt={8} gap="xs">
      <Text size="sm"><span className="mono">{process.name}</span> {process.state}{process.ready && ", ready"}</Text>
      <Text size="xs" c="dimmed" component="div">{describeEnd(process)}{process.startedAt && <>started <TimeAgo time={process.startedAt} /></>}</Text>
    </Group>
  ));
}

function describeEnd({ exitCode, signal, restarts }: Process): string {
  const end = exitCode === null ? (signal ? `ended by ${signal}` : "") : `exit code ${exitCode}`;
  return [end, restarts > 0 ? `restarted ${restarts}×` : ""].filter(Boolean).map((part) => `${part}, `).join("");
}

/** What each process and terminal uses now. */
import { Paper, Table, Text } from "@mantine/core";
import type { ProcessMetrics } from "../api/types";
import { Name } from "../layout/Name";
import { formatFigure, type Unit } from "./units";

export function ProcessTable({ processes }: { processes: readonly ProcessMetrics[] }) {
  if (processes.length === 0) return <Text size="sm" c="dimmed">Nothing that the agent has started runs now.</Text>;
  const rows = processes.toSorted((a, b) => b.usage.memoryBytes - a.usage.memoryBytes);
  return (
    <Paper p={0} data-testid="metrics-processes">
      <Table.ScrollContainer minWidth={620} scrollAreaProps={{ viewportProps: { tabIndex: 0, role: "region", "aria-label": "Processes and what they use" } }}>
        <Table className="numbers" verticalSpacing={6} aria-label="Use of each process">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Process</Table.Th>
              {["CPU", "Memory", "Proportional", "Read", "Written", "Processes", "Threads", "Files"].map((head) => <Table.Th key={head} ta="right">{head}</Table.Th>)}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>{rows.map((process) => <Row key={`${process.kind} ${process.name}`} process={process} />)}</Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  );
}

function Row({ process: { name, kind, usage } }: { process: ProcessMetrics }) {
  const cells: [number | null, Unit][] = [
    [usage.cpuCores, "cores"], [usage.memoryBytes, "bytes"], [usage.memoryProportionalBytes, "bytes"], [usage.readBytes, "bytes"], [usage.writtenBytes, "bytes"],
    [usage.processes, "count"], [usage.threads, "count"], [usage.openFiles, "count"],
  ];
  return (
    <Table.Tr>
      <Table.Td maw={220} style={{ overflowWrap: "anywhere" }}><Name text={name} />{kind === "terminal" && <Text span size="xs" c="dimmed"> terminal</Text>}</Table.Td>
      {cells.map(([value, unit], i) => <Table.Td key={i} ta="right" style={{ whiteSpace: "nowrap" }}>{value === null ? "–" : formatFigure(value, unit)}</Table.Td>)}
    </Table.Tr>
  );
}

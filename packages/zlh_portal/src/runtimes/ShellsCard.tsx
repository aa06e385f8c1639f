/** Whether every kind of shell finds the same, and where not. */
import { Group, Paper, Table, Text, Title } from "@mantine/core";
import type { ShellReport } from "../api/types";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import type { Words } from "../layout/tone";
import { isolate } from "../layout/words";
import classes from "./runtimes.module.css";
import { listDifferences, summarize } from "./shells";

const AGREED: Words = { label: "All agree", tone: "good", meaning: "Whatever way something is started, it finds the same." };
const DIFFERING: Words = { label: "They differ", tone: "warn", meaning: "Some ways of starting something find another version, or none." };

export function ShellsCard({ report }: { report: ShellReport }) {
  const rows = listDifferences(report);
  return (
    <Paper data-testid="shells">
      <Group justify="space-between" gap="xs" mb={4}>
        <Title order={2}>Shells</Title>
        <ToneBadge words={rows.length === 0 ? AGREED : DIFFERING} testId="shells-state" />
      </Group>
      <Text size="sm">{summarize(report)} <Text span size="sm" c="dimmed">Looked at <TimeAgo time={report.checkedAt} />.</Text></Text>
      {rows.length > 0 && (
        <Table.ScrollContainer minWidth={520} mt="sm" scrollAreaProps={{ viewportProps: { tabIndex: 0, role: "region", "aria-label": "Shells and what they find" } }}>
          <Table verticalSpacing={6} aria-label="What differs">
            <Table.Thead><Table.Tr><Table.Th>Where</Table.Th><Table.Th>What</Table.Th><Table.Th>Should lead to</Table.Th><Table.Th>Leads to</Table.Th></Table.Tr></Table.Thead>
            <Table.Tbody>
              {rows.map(({ key, modes, what, expected, found, problem }) => (
                <Table.Tr key={key}>
                  <Table.Td>{isolate(modes)}</Table.Td>
                  {problem === null
                    ? <><Table.Td className="mono">{isolate(what ?? "")}</Table.Td><Table.Td className={`mono ${classes["place"] ?? ""}`}>{isolate(expected)}</Table.Td><Table.Td className={`mono ${classes["place"] ?? ""}`}>{isolate(found)}</Table.Td></>
                    : <Table.Td colSpan={3}>{isolate(problem)}</Table.Td>}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Paper>
  );
}

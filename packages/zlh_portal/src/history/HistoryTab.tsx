/** What has happened in a container, the newest first. */
import { Group, Paper, Select, Skeleton, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { ContainerStatus } from "../api/types";
import { LoadMore } from "../layout/LoadMore";
import { Problem } from "../layout/Problem";
import { EntryRow } from "./EntryRow";
import classes from "./history.module.css";
import { choicesOf, filterEntries } from "./kinds";
import { joinPages } from "./pages";
import { isolate, showUnseen } from "../layout/words";
import { useHistory } from "./queries";

const ALL = "";

export function HistoryTab({ status }: { status: ContainerStatus }) {
  const query = useHistory(status.vmid);
  const [subject, setSubject] = useState(ALL);
  if (query.isPending) return <Stack gap="xs" role="status" aria-label="Loading the history">{[0, 1, 2, 3].map((row) => <Skeleton key={row} h={48} />)}</Stack>;
  if (!query.data) return <Problem error={query.error} title="The history cannot be read" onRetry={() => void query.refetch()} />;

  const entries = joinPages(query.data.pages);
  const shown = filterEntries(entries, subject === ALL ? null : subject);
  const names = choicesOf(status.processes, entries);
  return (
    <Stack gap="md">
      <Group justify="space-between" gap="xs">
        <Text size="sm" c="dimmed">What the container and its programs did. It is kept while the container exists, the newest thousand or so.</Text>
        <Select
          aria-label="Entries about" allowDeselect={false} w={220} searchable={names.length > 8} value={subject} onChange={(value) => setSubject(value ?? ALL)}
          data={[{ value: ALL, label: "Everything" }, ...names.map((name) => ({ value: name, label: showUnseen(name) }))]}
        />
      </Group>
      {shown.length > 0 ? (
        <Paper p={0}>
          <ol className={classes["list"]} aria-label="History" data-testid="history">{shown.map((entry) => <EntryRow key={entry.id} entry={entry} />)}</ol>
        </Paper>
      ) : (
        <Paper data-testid="no-history">
          <Text size="sm" c="dimmed">{entries.length === 0 ? "Nothing has happened yet." : `Nothing about ${isolate(subject)} among the newest ${entries.length} entries.`}</Text>
        </Paper>
      )}
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title="The newest entries cannot be read" onRetry={() => void query.refetch()} />}
      <LoadMore query={query} label="Load older entries" />
    </Stack>
  );
}

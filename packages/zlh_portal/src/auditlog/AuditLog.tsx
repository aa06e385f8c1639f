/** A log with what narrows it down. */
import { Button, Group, Paper, Select, Skeleton, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { LoadMore } from "../layout/LoadMore";
import { Problem } from "../layout/Problem";
import { actorsOf, filterOutcome, offerActs, OUTCOME_CHOICES } from "./acts";
import classes from "./auditlog.module.css";
import { EntryRow } from "./EntryRow";
import type { FilterState } from "./filters";
import type { LogQuery } from "./queries";

interface Props {
  query: LogQuery;
  filters: FilterState;
  /** Who can be chosen besides those that are seen. */
  people: readonly { value: string; label: string }[];
  /** A further filter, in front. */
  children?: ReactNode;
  /** Names of customers by their ids. */
  customers: ReadonlyMap<string, string>;
  /** Whether entries of several stand beside each other. */
  isMixed: boolean;
}

export function AuditLog({ query, filters, people, children, customers, isMixed }: Props) {
  const entries = query.data?.pages.flatMap(({ items }) => items) ?? [];
  const names = new Map([...actorsOf(entries), ...people].map(({ value, label }) => [value, label]));
  const shown = filterOutcome(entries, filters.outcome);
  return (
    <Stack gap="md">
      <Group gap="sm" role="group" aria-label="Filters">
        {children}
        <Select
          aria-label="Act" placeholder="All acts" clearable searchable flex="1 1 180px" nothingFoundMessage="No such act" value={filters.asked.act} onChange={(value) => filters.set("act", value)}
          data={offerActs([...entries.map(({ act }) => act), ...(filters.asked.act ? [filters.asked.act] : [])])}
        />
        <Select
          aria-label="Who" placeholder="Everybody" clearable searchable flex="1 1 180px" nothingFoundMessage="Nobody" value={filters.asked.user} onChange={(value) => filters.set("user", value)}
          data={joinPeople(people, actorsOf(entries), filters.asked.user)}
        />
        <Select aria-label="Outcome" placeholder="All outcomes" clearable flex="1 1 140px" value={filters.outcome} onChange={(value) => filters.set("outcome", value)} data={OUTCOME_CHOICES} />
      </Group>
      {filters.asked.subject !== null && (
        <Group gap="xs">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>Only about <bdi>{filters.asked.subject}</bdi></Text>
          <Button size="compact-xs" variant="default" onClick={() => filters.set("subject", null)}>Show all</Button>
        </Group>
      )}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the audit log">{[0, 1, 2, 3, 4].map((row) => <Skeleton key={row} h={52} />)}</Stack>}
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title={query.data ? "The newest entries cannot be read" : "The audit log cannot be read"} onRetry={() => void query.refetch()} />}
      {query.data && shown.length > 0 && (
        <Paper p={0}>
          <div className={`${classes["row"] ?? ""} ${classes["head"] ?? ""}`} aria-hidden="true"><span>What</span><span>Who</span><span>Outcome</span><span>From</span><span>When</span></div>
          <ol className={classes["list"]} aria-label="Audit log" data-testid="audit-log">
            {shown.map((entry) => <EntryRow key={entry.hash} entry={entry} customers={customers} people={names} isMixed={isMixed} onNarrow={(subject) => filters.set("subject", subject)} />)}
          </ol>
        </Paper>
      )}
      {query.data && shown.length === 0 && (
        <Paper ta="center" py="xl" role="status" data-testid="no-entries">
          <Text size="sm" c="dimmed">
            {entries.length > 0 ? `None of the newest ${entries.length} entries ended like that.` : filters.isAny ? "Nothing in the log matches." : "Nothing has been done yet. What people and tokens ask for stands here from now on."}
          </Text>
          {filters.isAny && <Button variant="subtle" mt="xs" onClick={filters.clear}>Show everything</Button>}
        </Paper>
      )}
      <LoadMore query={query} label="Load older entries" />
    </Stack>
  );
}

/** Everybody once; whoever the address names can be chosen even where nobody knows who that is. */
function joinPeople(people: Props["people"], seen: Props["people"], chosen: string | null): { value: string; label: string }[] {
  const all = new Map([...seen, ...people].map(({ value, label }) => [value, label]));
  if (chosen !== null && !all.has(chosen)) all.set(chosen, chosen);
  return [...all].map(([value, label]) => ({ value, label })).sort((a, b) => a.label.localeCompare(b.label));
}

/** What was tried for containers, step by step, and how each try ended; what is asked for stands in the address. */
import { Autocomplete, Button, Code, Group, Paper, Select, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { Link } from "react-router";
import type { AttemptOutcome, StepAttempt } from "../api/types";
import { PLATFORM_STEPS, titleOf } from "../containers/stepNames";
import { useParameters } from "../layout/address";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { type Asked, describeOutcome, OUTCOME_CHOICES, readAsked, readCode, readNumber, SINCE_CHOICES, tellTry } from "./journal";
import { useJournal } from "./journalQueries";
import classes from "./platform.module.css";
import { Said } from "../layout/Said";

export function JournalTab() {
  const { parameters, set, clear } = useParameters();
  const asked = readAsked(parameters);
  const query = useJournal(asked);
  const attempts = query.data?.pages.flatMap(({ items }) => items) ?? [];
  return (
    <Stack gap="md">
      <Text c="dimmed" size="sm">Each try of each step, of all containers, as it ends. A step that failed is tried again by itself; here stands what the next try would hide.</Text>
      <Filters asked={asked} codes={codesOf(attempts)} onChoose={set} />
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title={query.data ? "What is shown may be old" : "The journal cannot be read"} onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the journal">{[0, 1, 2, 3, 4].map((row) => <Skeleton key={row} h={48} />)}</Stack>}
      {attempts.length > 0 && (
        <Paper p={0}>
          <ol className={classes["list"]} aria-label="Tries of steps" data-testid="journal">
            {attempts.map((attempt) => <AttemptRow key={attempt.id} attempt={attempt} onChoose={set} />)}
          </ol>
        </Paper>
      )}
      {query.data && attempts.length === 0 && <Nothing isAny={parameters.size > 0} onClear={clear} />}
      <LoadMore query={query} label="Load older tries" />
    </Stack>
  );
}

interface FilterProps {
  asked: Asked;
  codes: readonly string[];
  onChoose: (name: keyof Asked, value: string | null) => void;
}

function Filters({ asked, codes, onChoose }: FilterProps) {
  const steps = PLATFORM_STEPS.some(({ value }) => value === asked.step) || asked.step === null ? PLATFORM_STEPS : [...PLATFORM_STEPS, { value: asked.step, label: titleOf(asked.step) }];
  return (
    <Group gap="sm" role="group" aria-label="Filters">
      <Select aria-label="Outcome" placeholder="All outcomes" clearable flex="1 1 130px" value={asked.outcome} onChange={(value: AttemptOutcome | null) => onChoose("outcome", value)} data={OUTCOME_CHOICES} />
      <TextInput aria-label="Number of a container" placeholder="Container number" inputMode="numeric" type="search" flex="1 1 130px" value={asked.container} onChange={(event) => onChoose("container", readNumber(event.currentTarget.value))} />
      <Select aria-label="Step" placeholder="All steps" clearable searchable nothingFoundMessage="No such step" flex="2 1 180px" value={asked.step} onChange={(value) => onChoose("step", value)} data={steps} />
      <Autocomplete aria-label="Code" placeholder="Any code" clearable flex="1 1 150px" value={asked.code} onChange={(text) => onChoose("code", readCode(text))} data={[...codes]} />
      <Select aria-label="Since" placeholder="All times" clearable flex="1 1 150px" value={asked.since} onChange={(value) => onChoose("since", value)} data={SINCE_CHOICES} />
    </Group>
  );
}

function AttemptRow({ attempt, onChoose }: { attempt: StepAttempt; onChoose: FilterProps["onChoose"] }) {
  const { vmid, name, step, outcome, code, reason } = attempt;
  return (
    <li className={classes["try"]} data-outcome={outcome} data-testid="attempt">
      <div><ToneBadge words={describeOutcome(outcome)} testId="attempt-outcome" /></div>
      <div className={classes["text"]}>
        <Text size="sm" fw={600}>{titleOf(step)}</Text>
        <Text size="xs" c="dimmed" className="numbers">{tellTry(attempt)}</Text>
      </div>
      <div className={classes["text"]}>
        {name === null ? <Text size="sm" c="dimmed">deleted since</Text> : <Link to={`/containers/${vmid}`} className={classes["link"] ?? ""}><Name text={name} /></Link>}
        <Text size="xs" c="dimmed" component="button" type="button" className={`numbers ${classes["narrow"] ?? ""}`} aria-label={`Show only container ${vmid}`} onClick={() => onChoose("container", String(vmid))}>{vmid}</Text>
      </div>
      <div className={classes["text"]}>
        {reason && <Text size="sm"><Said text={reason} /></Text>}
        {code && <button type="button" className={classes["narrow"]} aria-label={`Show only the code ${code}`} onClick={() => onChoose("code", code)}><Code>{code}</Code></button>}
      </div>
      <Text size="xs" c="dimmed" component="div" className={classes["when"] ?? ""}><TimeAgo time={attempt.at} /></Text>
    </li>
  );
}

function Nothing({ isAny, onClear }: { isAny: boolean; onClear: () => void }) {
  return (
    <Paper ta="center" py="xl" role="status" data-testid="no-attempts">
      <Text size="sm" c="dimmed">{isAny ? "No try is like that." : "Nothing was done for any container yet. Create one, and its steps stand here as they end."}</Text>
      {isAny && <Button variant="subtle" mt="xs" onClick={onClear}>Show everything</Button>}
    </Paper>
  );
}

function codesOf(attempts: readonly StepAttempt[]): string[] {
  return [...new Set(attempts.flatMap(({ code }) => (code === null ? [] : [code])))].sort();
}

/** The steps of making (or removing) a container as they go on. */
import { Code, Group, Loader, Progress, Text, VisuallyHidden } from "@mantine/core";
import type { ContainerStatus, Step } from "../api/types";
import { CheckIcon, ClockIcon, CrossIcon } from "../layout/icons";
import { useServerNow } from "../layout/clock";
import { Name } from "../layout/Name";
import { capitalize, isolateOdd, showUnseen } from "../layout/words";
import classes from "./containers.module.css";
import { isTicking, type Row, renderRows, summarize } from "./timeline";
import { Said } from "../layout/Said";

export function StepsTimeline({ status }: { status: ContainerStatus }) {
  const { steps } = status;
  const summary = summarize(steps);
  const now = useServerNow(isTicking(steps), 250);
  return (
    <div data-testid="steps">
      <Group justify="space-between" mb={6} gap="xs">
        <Text size="sm" c="dimmed" className="numbers" role="status">{sayProgress(status)}</Text>
      </Group>
      <Progress
        value={summary.percent} mb="md" size="sm" aria-label="Steps done" transitionDuration={200}
        color={summary.hasFailed ? "red" : summary.isDone ? "teal" : "indigo"}
      />
      <ol className={classes["steps"]} aria-label="Steps">
        {renderRows(steps, now).map((row) => <StepRow key={row.name} row={row} />)}
      </ol>
    </div>
  );
}

function sayProgress({ steps, lifecycle }: ContainerStatus): string {
  const { settled, total, took, hasFailed, isWaiting } = summarize(steps);
  if (total === 0) return "No step has been planned yet.";
  if (took && lifecycle !== "deleting") return `All ${total} steps done in ${took}`;
  return `${settled} of ${total} steps done${hasFailed ? ", one has failed" : isWaiting ? ", one is waiting" : ""}`;
}

/** Steps alone, without how far all of them are; what they have printed is shown also when they are done. */
export function StepList({ steps }: { steps: readonly Step[] }) {
  const now = useServerNow(isTicking(steps), 250);
  return (
    <ol className={classes["steps"]} aria-label="Steps of the workspace">
      {renderRows(steps, now).map((row) => <StepRow key={row.name} row={row} showsAll />)}
    </ol>
  );
}

function StepRow({ row, showsAll = false }: { row: Row; showsAll?: boolean }) {
  const state = row.isWaiting ? "waiting" : row.state;
  const hasMore = row.message !== null || row.percent !== null || row.output !== null || row.tries !== "";
  return (
    <li className={classes["step"]} data-state={row.state} data-waiting={row.isWaiting || undefined} data-testid={`step-${row.name}`}>
      <span className={classes["bullet"]} aria-hidden="true">
        {row.isWaiting && <ClockIcon />}
        {state === "done" && <CheckIcon />}
        {state === "failed" && <CrossIcon />}
        {state === "running" && <Loader size={18} />}
      </span>
      <span><Name text={row.title} /><VisuallyHidden>, {state}</VisuallyHidden></span>
      <Text span size="xs" c="dimmed" lh="20px" className="numbers">{row.isWaiting ? "waiting" : row.state === "skipped" ? (showsAll ? "not done" : "not needed") : row.duration}</Text>
      {hasMore && (showsAll || row.state !== "done") && <StepMore row={row} />}
    </li>
  );
}

function StepMore({ row }: { row: Row }) {
  const hasFailed = row.state === "failed" && !row.isWaiting;
  return (
    <div className={classes["more"]}>
      {row.percent !== null && row.state === "running" && <Progress value={row.percent} size="xs" mt={6} aria-label={`${isolateOdd(row.title)}: ${row.percent} %`} />}
      {row.message && <Text size="xs" c={hasFailed ? "red" : "dimmed"} mt={2} style={{ overflowWrap: "anywhere" }}><Said text={row.message} /></Text>}
      {row.tries && <Text size="xs" c="dimmed" className="numbers" data-testid="tries">{capitalize(row.tries)}</Text>}
      {row.exitCode !== null && <Text size="xs" c="dimmed">Exit code {row.exitCode}</Text>}
      {row.output && (
        <details className={classes["output"]}>
          <summary>What it printed last</summary>
          <Code block mt={6} mah={180}><bdi>{showUnseen(row.output)}</bdi></Code>
        </details>
      )}
    </div>
  );
}

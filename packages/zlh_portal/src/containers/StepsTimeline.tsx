/** The steps of making (or removing) a container as they go on. */
import { Code, Group, Loader, Progress, Text, VisuallyHidden } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { CheckIcon, CrossIcon } from "../layout/icons";
import { useServerNow } from "../layout/clock";
import classes from "./containers.module.css";
import { type Row, renderRows, summarize } from "./timeline";

export function StepsTimeline({ status }: { status: ContainerStatus }) {
  const { steps } = status;
  const summary = summarize(steps);
  const now = useServerNow(summary.current !== null, 250);
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
  const { settled, total, took, hasFailed } = summarize(steps);
  if (total === 0) return "No step has been planned yet.";
  if (took && lifecycle !== "deleting") return `All ${total} steps done in ${took}`;
  return `${settled} of ${total} steps done${hasFailed ? ", one has failed" : ""}`;
}

function StepRow({ row }: { row: Row }) {
  return (
    <li className={classes["step"]} data-state={row.state} data-testid={`step-${row.name}`}>
      <span className={classes["bullet"]} aria-hidden="true">
        {row.state === "done" && <CheckIcon />}
        {row.state === "failed" && <CrossIcon />}
        {row.state === "running" && <Loader size={18} />}
      </span>
      <span>{row.title}<VisuallyHidden>, {row.state}</VisuallyHidden></span>
      <Text span size="xs" c="dimmed" lh="20px" className="numbers">{row.state === "skipped" ? "not needed" : row.duration}</Text>
      {(row.message !== null || row.percent !== null || row.output !== null) && row.state !== "done" && <StepMore row={row} />}
    </li>
  );
}

function StepMore({ row }: { row: Row }) {
  return (
    <div className={classes["more"]}>
      {row.percent !== null && row.state === "running" && <Progress value={row.percent} size="xs" mt={6} aria-label={`${row.title}: ${row.percent} %`} />}
      {row.message && <Text size="xs" c={row.state === "failed" ? "red" : "dimmed"} mt={2}>{row.message}</Text>}
      {row.exitCode !== null && <Text size="xs" c="dimmed">Exit code {row.exitCode}</Text>}
      {row.output && <Code block mt={6} mah={180}>{row.output}</Code>}
    </div>
  );
}

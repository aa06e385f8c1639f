/** A state as a word with a colour; what it means is in its tooltip. */
import { Tooltip } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import classes from "./containers.module.css";
import { describeConnection, describeLifecycle, type Words } from "./states";

function ToneBadge({ words, testId }: { words: Words; testId: string }) {
  return (
    <Tooltip label={words.meaning}>
      <span className={classes["badge"]} data-tone={words.tone} data-testid={testId} tabIndex={0}>
        <span className={classes["dot"]} aria-hidden="true" />
        {words.label}
      </span>
    </Tooltip>
  );
}

export function StateBadge({ status }: { status: ContainerStatus }) {
  return <ToneBadge words={describeLifecycle(status)} testId="state" />;
}

export function ConnectionBadge({ status }: { status: ContainerStatus }) {
  return <ToneBadge words={describeConnection(status)} testId="connection" />;
}

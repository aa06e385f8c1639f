/** A state as a word with a colour; what it means is in its tooltip. */
import { Tooltip } from "@mantine/core";
import classes from "./ToneBadge.module.css";
import type { Words } from "./tone";
import { shorten } from "./words";

export function ToneBadge({ words, testId }: { words: Words; testId: string }) {
  return (
    <Tooltip label={shorten(words.meaning) ?? words.meaning}>
      <span className={classes["badge"]} data-tone={words.tone} data-testid={testId} tabIndex={0}>
        <span className={classes["dot"]} aria-hidden="true" />
        {words.label}
      </span>
    </Tooltip>
  );
}

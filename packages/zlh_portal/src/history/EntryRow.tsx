/** One entry of a history: what happened, to what, and when. */
import { Text } from "@mantine/core";
import type { HistoryEntry } from "../api/types";
import { CheckIcon, CrossIcon, DotIcon, WarnIcon } from "../layout/icons";
import { Name } from "../layout/Name";
import { TimeAgo } from "../layout/TimeAgo";
import type { Tone } from "../layout/tone";
import classes from "./history.module.css";
import { describeKind } from "./kinds";
import { Said } from "../layout/Said";

const ICONS: Readonly<Record<Tone, () => React.JSX.Element>> = { good: CheckIcon, bad: CrossIcon, warn: WarnIcon, busy: DotIcon, quiet: DotIcon };

export function EntryRow({ entry }: { entry: HistoryEntry }) {
  const { label, tone } = describeKind(entry);
  const Icon = ICONS[tone];
  return (
    <li className={classes["entry"]} data-tone={tone} data-testid="history-entry">
      <span className={classes["bullet"]} aria-hidden="true"><Icon /></span>
      <div className={classes["what"]}>
        <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={entry.message} /></Text>
        <Text size="xs" c="dimmed" className="numbers" component="div">
          {entry.subject && <><span className={classes["subject"]}><Name text={entry.subject} /></span> · </>}{label} · <TimeAgo time={entry.at} /> · {moment(entry.at)}
        </Text>
      </div>
    </li>
  );
}

function moment(time: string): string {
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? time : new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** What people at a console should know and no program has printed, above its state until it is put away. */
import { ActionIcon } from "@mantine/core";
import { CrossIcon } from "../layout/icons";
import { isolate } from "../layout/words";
import classes from "./console.module.css";
import type { Notice } from "./notices";
import { Said } from "../layout/Said";

export function NoticeList({ notices, onDismiss }: { notices: readonly Notice[]; onDismiss: (id: number) => void }) {
  // The region is there before the first notice, or a screen reader would not read that out.
  return (
    <div className={classes["notices"]} role="status" aria-live="polite" aria-label="Notices">
      {notices.map(({ id, message }) => (
        <div key={id} className={classes["notice"]} data-testid="terminal-notice">
          <span className={classes["words"]}><Said text={message} /></span>
          <ActionIcon size="sm" variant="subtle" color="gray" ml="auto" aria-label={`Dismiss: ${isolate(message)}`} onClick={() => onDismiss(id)}><CrossIcon /></ActionIcon>
        </div>
      ))}
    </div>
  );
}

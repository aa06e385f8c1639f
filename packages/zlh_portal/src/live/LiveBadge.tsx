/** Says in the header whether what is shown is kept up to date, and how. */
import { Tooltip } from "@mantine/core";
import classes from "./live.module.css";
import { type Liveness, useLiveness } from "./liveness";

const WORDS: Readonly<Record<Liveness, { label: string; meaning: string }>> = {
  connecting: { label: "Connecting", meaning: "The live stream is being opened." },
  live: { label: "Live", meaning: "Changes are shown the moment they happen." },
  polling: { label: "Polling", meaning: "The live stream is down; the page asks again every few seconds." },
};

export function LiveBadge() {
  const liveness = useLiveness();
  const { label, meaning } = WORDS[liveness];
  return (
    <Tooltip label={meaning}>
      <span className={classes["badge"]} data-liveness={liveness} data-testid="liveness" role="status" aria-label={`${label}. ${meaning}`}>
        <span className={classes["dot"]} />
        <span className={classes["label"]}>{label}</span>
      </span>
    </Tooltip>
  );
}

/** How far something is that moves bytes, in words; pure. The figures are an agent's: they may be anything. */
import type { Step } from "../api/types";
import { isRemoval } from "../containers/stepNames";
import { percentOf, percentOfShare } from "../layout/percent";
import { capitalize, formatBytes, formatDuration } from "../layout/words";

const STAGES: Readonly<Record<string, string>> = {
  catalog: "Reading the catalog",
  hash: "Checking what is there already",
  download: "Downloading",
  verify: "Comparing the files",
  unpack: "Unpacking",
  smoke: "Trying it",
  record: "Writing to the disk",
  check: "Looking at what is there",
  backup: "Making a backup",
  place: "Putting files in place",
  script: "Running a script",
  restore: "Restoring the backup",
};

export interface Told {
  stage: string;
  /** 0 to 100, or null where it cannot be measured. */
  percent: number | null;
  /** "120 MiB of 300 MiB"; empty where there is nothing to count. */
  bytes: string;
  rate: string | null;
  left: string | null;
}

/** Return how far a step is. */
export function tellTransfer(step: Pick<Step, "name" | "state" | "progress" | "transfer">): Told {
  const { transfer } = step;
  const waiting = step.state === "pending" ? "Waiting for its turn" : isRemoval(step.name) ? "Removing" : "Installing";
  if (!transfer) return { stage: waiting, percent: percentOfShare(step.progress), bytes: "", rate: null, left: null };
  return {
    stage: nameStage(transfer.stage),
    percent: percentOf(transfer) ?? percentOfShare(step.progress),
    bytes: transfer.totalBytes > 0 ? `${formatBytes(transfer.doneBytes)} of ${formatBytes(transfer.totalBytes)}` : "",
    rate: transfer.bytesPerS === null ? null : `${formatBytes(Math.round(transfer.bytesPerS))}/s`,
    left: transfer.leftS === null ? null : `${formatDuration(transfer.leftS * 1000)} left`,
  };
}

/** Return a stage in words, also of one that this version has never heard of. */
export function nameStage(stage: string): string {
  const known = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
  if (known) return known;
  const words = stage.replaceAll(/[-_]+/g, " ").trim();
  return words ? capitalize(words) : "Working";
}

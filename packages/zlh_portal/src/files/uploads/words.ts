/** How one upload is, in words; pure. */
import type { Tone } from "../../layout/tone";
import { formatBytes } from "../../layout/words";
import type { Item } from "./queue";

export function describeItem({ phase, sent, size, problem }: Item): { text: string; tone: Tone } {
  switch (phase) {
    case "waiting":
      return { text: `${formatBytes(size)}, waits for its turn`, tone: "quiet" };
    case "sending":
      return { text: `${formatBytes(sent)} of ${formatBytes(size)}`, tone: "busy" };
    case "paused":
      return { text: `Paused at ${formatBytes(sent)} of ${formatBytes(size)}`, tone: "quiet" };
    case "retrying":
      return { text: `Goes on by itself. ${problem?.detail ?? ""}`.trim(), tone: "warn" };
    case "asking":
      return { text: "Something has this name already", tone: "warn" };
    case "done":
      return { text: `${formatBytes(size)}, done`, tone: "good" };
    case "failed":
      return { text: problem?.detail ?? "It failed.", tone: "bad" };
    case "skipped":
      return { text: "Skipped: it is there already", tone: "quiet" };
    case "cancelled":
      return { text: "Cancelled", tone: "quiet" };
  }
}

/** How large a container is, in words and in the steps of a form; pure. */
import type { ContainerStatus, Limits, Resources, ResourceWish, Step } from "../api/types";
import type { Words } from "../layout/tone";
import { formatBytes } from "../layout/words";
import { findResize } from "./stepNames";

export type Field = keyof Resources;

const MIB = 1024 ** 2;
const LADDERS: Readonly<Record<Field, readonly number[]>> = {
  cpu: [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128],
  memoryMib: [128, 256, 512, 768, ...gib(1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)],
  diskMib: [512, ...gib(1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 4000)],
  pids: [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536],
};

export const FIELDS: readonly Field[] = ["cpu", "memoryMib", "diskMib", "pids"];

export const LABELS: Readonly<Record<Field, string>> = {
  cpu: "Processor",
  memoryMib: "Memory",
  diskMib: "Disk",
  pids: "Processes and threads",
};

/** "2 cores", "512 MiB", "10 GiB", "2048 processes and threads". */
export function formatSize(field: Field, value: number): string {
  switch (field) {
    case "cpu":
      return `${Number(value.toFixed(2))} ${value === 1 ? "core" : "cores"}`;
    case "memoryMib":
    case "diskMib":
      return formatBytes(value * MIB);
    case "pids":
      return `${value} processes and threads`;
  }
}

/** "2 cores, 2 GiB of memory, 10 GiB of disk". */
export function describeSize(size: Resources): string {
  return `${formatSize("cpu", size.cpu)}, ${formatSize("memoryMib", size.memoryMib)} of memory, ${formatSize("diskMib", size.diskMib)} of disk`;
}

/** Return what can be chosen from `least` to `most`: round figures, both ends, and what there is already. */
export function stepsBetween(field: Field, least: number, most: number, current: number): number[] {
  const round = LADDERS[field].filter((value) => value >= least && value <= most);
  const ends = most >= least ? [most] : [];
  return [...new Set([...round, ...ends, current])].sort((a, b) => a - b);
}

/** Return the index of the step that is `value`, else of the last one below it. */
export function indexOfStep(steps: readonly number[], value: number): number {
  return Math.max(0, steps.findLastIndex((step) => step <= value));
}

/** Return what to ask for so that `from` becomes `to`, or null where that is nothing. */
export function wishBetween(from: Resources, to: Resources): ResourceWish | null {
  const pick = (field: Field) => (from[field] === to[field] ? null : to[field]);
  const wish = { cpu: pick("cpu"), memoryMib: pick("memoryMib"), diskMib: pick("diskMib"), pids: pick("pids") };
  return Object.values(wish).some((value) => value !== null) ? wish : null;
}

/** Return the sentence that says which limits are noted alone, or null where containers are held to all of them. */
export function tellUnenforced({ enforced, driver }: Limits): string | null {
  const loose = FIELDS.filter((field) => !enforced.includes(field)).map((field) => LABELS[field].toLowerCase());
  if (loose.length === 0) return null;
  if (loose.length === FIELDS.length) {
    return `This installation uses the driver ${driver}, which holds containers to none of these limits: they are kept, and everything goes on as if there were none.`;
  }
  return `The driver ${driver} of this installation does not hold containers to these limits: ${loose.join(", ")}.`;
}

/** How far the limits that are wanted are, and what is still in force where that is something else. */
export interface Resize {
  words: Words;
  /** "Memory: 2 GiB in force, 4 GiB wanted", one for each that differs. */
  differences: string[];
  /** The step that has failed, else null. */
  failed: Step | null;
}

/** Return how far a container is with its size. */
export function describeResize({ resources, resourcesInForce, degraded, steps }: ContainerStatus, enforced: readonly string[]): Resize {
  const step = findResize(steps);
  const failed = step?.code ? step : null;
  if (!degraded.includes("resize_pending")) {
    if (enforced.length === 0) return { words: { label: "Noted", tone: "quiet", meaning: "This installation holds no container to its size." }, differences: [], failed: null };
    return resourcesInForce === null
      ? { words: { label: "Not yet", tone: "quiet", meaning: "It holds once the container is made." }, differences: [], failed: null }
      : { words: { label: "In force", tone: "good", meaning: "The container was seen to have this size." }, differences: [], failed: null };
  }
  const differences = resourcesInForce === null ? [] : FIELDS.flatMap((field) => tellDifference(field, resourcesInForce[field], resources[field]));
  const words: Words = failed
    ? { label: "Refused by the host", tone: "bad", meaning: "It is tried again by itself; what was there before still holds." }
    : { label: "Being applied", tone: "busy", meaning: "The container is given its new size; it goes on meanwhile." };
  return { words, differences, failed };
}

function tellDifference(field: Field, held: number, wanted: number): string[] {
  return held === wanted ? [] : [`${LABELS[field]}: ${formatSize(field, held)} in force, ${formatSize(field, wanted)} wanted`];
}

function gib(...values: number[]): number[] {
  return values.map((value) => value * 1024);
}

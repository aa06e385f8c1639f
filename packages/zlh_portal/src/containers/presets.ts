/** Sizes by what they are good for, so that nobody has to know figures; pure. */
import type { Limits, QuotaUse, Resources } from "../api/types";
import { formatSize } from "./sizes";

export interface Preset {
  name: string;
  label: string;
  meaning: string;
  size: Resources;
}

const SCALES = [
  { name: "small", label: "Small", factor: 0.5, meaning: "scripts, bots and small sites" },
  { name: "usual", label: "Usual", factor: 1, meaning: "most web apps, APIs and editors" },
  { name: "large", label: "Large", factor: 2, meaning: "builds, databases, several programs at once" },
] as const;
const LEAST: Resources = { cpu: 0.1, memoryMib: 128, diskMib: 512, pids: 64 };

/** Return the sizes that this installation allows, each another than the one before. */
export function presetsOf({ default: usual, maximum }: Limits): Preset[] {
  const presets = SCALES.map(({ factor, ...rest }) => ({ ...rest, size: scale(usual, factor, maximum) }));
  return presets.filter(({ size }, at) => presets.findIndex((other) => isSame(other.size, size)) === at);
}

/** Return which of them a size is, or null for one of one's own. */
export function presetOf(presets: readonly Preset[], size: Resources): Preset | null {
  return presets.find((preset) => isSame(preset.size, size)) ?? null;
}

function scale(usual: Resources, factor: number, maximum: Resources): Resources {
  const fit = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value));
  return {
    cpu: fit(Number((usual.cpu * factor).toFixed(2)), LEAST.cpu, maximum.cpu),
    memoryMib: fit(Math.round(usual.memoryMib * factor), LEAST.memoryMib, maximum.memoryMib),
    diskMib: fit(Math.round(usual.diskMib * factor), LEAST.diskMib, maximum.diskMib),
    pids: usual.pids,
  };
}

function isSame(one: Resources, other: Resources): boolean {
  return one.cpu === other.cpu && one.memoryMib === other.memoryMib && one.diskMib === other.diskMib && one.pids === other.pids;
}

export interface Shortage {
  /** What is in the way of any container; null where nothing is. */
  all: string | null;
  /** By the field's name on the wire, such as `resources.cpu`. */
  fields: Record<string, string>;
}

/** Tell before it is asked for where the quota has no room; the API is who decides. */
export function findShortage(uses: readonly QuotaUse[], size: Resources): Shortage {
  const left = (name: string) => {
    const use = uses.find((each) => each.name === name);
    return use?.quota == null ? Infinity : Math.max(0, use.quota - use.used);
  };
  const fields = (["cpu", "memoryMib", "diskMib"] as const).flatMap((field) => {
    const free = left(field);
    return size[field] > free ? [[`resources.${field}`, `Of the quota ${formatSize(field, free)} ${field === "cpu" && free !== 1 ? "are" : "is"} left.`]] : [];
  });
  const count = uses.find(({ name }) => name === "containers")?.quota ?? 0;
  const all = left("containers") < 1 ? `The quota allows ${count} ${count === 1 ? "container" : "containers"}, and that many are there. Delete one, or ask an operator of the platform for more.` : null;
  return { all, fields: Object.fromEntries(fields) as Record<string, string> };
}

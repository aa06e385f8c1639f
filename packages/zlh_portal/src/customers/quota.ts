/** How much of its quota a customer uses, in words and in the fields of a form; pure. */
import type { Quota, QuotaUse } from "../api/types";
import type { Tone } from "../layout/tone";
import { formatBytes } from "../layout/words";

export type Kind = keyof Quota;

const MIB = 1024 ** 2;
const GIB_IN_MIB = 1024;

export const KINDS: readonly Kind[] = ["containers", "cpu", "memoryMib", "diskMib", "exposures", "members"];

const LABELS: Readonly<Record<Kind, string>> = {
  containers: "Containers", cpu: "Processor cores", memoryMib: "Memory", diskMib: "Disk", exposures: "Published ports", members: "Members",
};

/** The API may count a kind that this portal does not know yet. */
export function labelOf(name: string): string {
  return isKind(name) ? LABELS[name] : name.replaceAll(/[_-]+/g, " ");
}

/** "2 GiB" of memory, "1.5" cores, "3" containers. */
export function formatAmount(name: string, value: number): string {
  return name === "memoryMib" || name === "diskMib" ? formatBytes(value * MIB) : String(Number(value.toFixed(2)));
}

export interface Bar {
  name: string;
  label: string;
  /** "3 of 10", "3, no limit". */
  words: string;
  /** 0 to 100; null where there is no limit to fill. */
  percent: number | null;
  tone: Tone;
  /** What it means that nothing is left; empty where something is. */
  warning: string;
}

const NEARLY = 0.8;

/** Return a row for each kind; what has no limit says so, and has no bar that could be read as one. */
export function renderBars(uses: readonly QuotaUse[]): Bar[] {
  return uses.map(({ name, used, quota }) => {
    const label = labelOf(name);
    const amount = formatAmount(name, used);
    if (quota === null) return { name, label, words: `${amount}, no limit`, percent: null, tone: "quiet", warning: "" };
    const share = quota > 0 ? used / quota : 1;
    return {
      name, label, words: `${amount} of ${formatAmount(name, quota)}`, percent: Math.round(Math.min(1, share) * 100),
      tone: used > quota ? "bad" : share >= 1 ? "warn" : share >= NEARLY ? "warn" : "good", warning: warn(used, quota),
    };
  });
}

function warn(used: number, quota: number): string {
  if (used > quota) return "Over the limit: what is there stays, and nothing is added until there is less.";
  return used === quota ? "Used up: nothing more can be added." : "";
}

/** What stands in the fields: what an operator has set, and nothing for the platform's default. */
export type Draft = Record<Kind, number | "">;

export function draftOf(uses: readonly QuotaUse[]): Draft {
  const own = (kind: Kind): number | "" => {
    const use = uses.find(({ name }) => name === kind);
    return use?.isOwn && use.quota !== null ? toField(kind, use.quota) : "";
  };
  return { containers: own("containers"), cpu: own("cpu"), memoryMib: own("memoryMib"), diskMib: own("diskMib"), exposures: own("exposures"), members: own("members") };
}

/** Return what to ask for; all kinds, since those that are not named go back to the default. */
export function wishOf(draft: Draft): Quota {
  const pick = (kind: Kind) => (draft[kind] === "" ? null : fromField(kind, draft[kind]));
  return { containers: pick("containers"), cpu: pick("cpu"), memoryMib: pick("memoryMib"), diskMib: pick("diskMib"), exposures: pick("exposures"), members: pick("members") };
}

/** "GiB" where the field counts in something else than the API does. */
export function unitOf(kind: Kind): string {
  return kind === "memoryMib" || kind === "diskMib" ? "GiB" : kind === "cpu" ? "cores" : "";
}

function toField(kind: Kind, value: number): number {
  return unitOf(kind) === "GiB" ? value / GIB_IN_MIB : value;
}

function fromField(kind: Kind, value: number): number {
  return unitOf(kind) === "GiB" ? Math.round(value * GIB_IN_MIB) : value;
}

function isKind(name: string): name is Kind {
  return (KINDS as readonly string[]).includes(name);
}

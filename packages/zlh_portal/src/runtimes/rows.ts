/** The runtimes of a container as people look at them: by name, with what is wanted beside what is there; pure. */
import type { ContainerStatus, InstalledRuntime, PendingRuntime, RuntimeOffer, Runtimes, RuntimeVersionOffer, Step } from "../api/types";
import { isOfRuntime } from "../containers/stepNames";

export interface Row {
  name: string;
  version: string;
  /** What its agent has told of it; null where it is not there. */
  record: InstalledRuntime | null;
  isDefault: boolean;
  isPrevious: boolean;
  /** False for what is on its way out. */
  isWanted: boolean;
  /** Whether PATH is about to lead to it. */
  becomesDefault: boolean;
  /** What the agent does about it, where it does something or has failed to. */
  step: Step | null;
  isPending: boolean;
  edition: string | null;
}

export interface Group {
  name: string;
  title: string;
  rows: Row[];
  /** Where an upgrade leads that names no version. */
  upgrade: string | null;
  previous: Row | null;
}

/** Return the runtimes by name: the default first, then what is kept to go back to, then the others, newest first. */
export function groupRuntimes(runtimes: Runtimes, status: Pick<ContainerStatus, "steps">, offers: readonly RuntimeOffer[]): Group[] {
  const rows = new Map<string, Row>();
  for (const record of runtimes.runtimes) rows.set(keyOf(record), installedRow(record, offers));
  for (const pending of runtimes.pending) rows.set(keyOf(pending), pendingRow(pending, rows.get(keyOf(pending)) ?? null, status.steps, offers));
  const names = [...new Set([...rows.values()].map(({ name }) => name))].sort();
  return names.map((name) => {
    const mine = [...rows.values()].filter((row) => row.name === name).sort(compareRows);
    return {
      name,
      title: offers.find((offer) => offer.name === name)?.title ?? name,
      rows: mine,
      upgrade: runtimes.upgrades.find((upgrade) => upgrade.name === name)?.version ?? null,
      previous: mine.find((row) => row.isPrevious && row.isWanted && row.record !== null) ?? null,
    };
  });
}

function installedRow(record: InstalledRuntime, offers: readonly RuntimeOffer[]): Row {
  const { name, version } = record;
  return {
    name, version, record, isDefault: record.default, isPrevious: record.previous, isWanted: true, becomesDefault: false,
    step: null, isPending: false, edition: editionOf(offers, name, version),
  };
}

function pendingRow(pending: PendingRuntime, there: Row | null, steps: readonly Step[], offers: readonly RuntimeOffer[]): Row {
  const { name, version } = pending;
  // The live report is newer than the list: of the same step it knows more.
  const step = steps.find((entry) => entry.name === pending.step?.name) ?? pending.step;
  return {
    name, version, step, isPending: true, record: there?.record ?? null, isDefault: there?.isDefault ?? false, isPrevious: there?.isPrevious ?? false,
    isWanted: pending.wanted, becomesDefault: pending.default && !(there?.isDefault ?? false), edition: editionOf(offers, name, version),
  };
}

/** Return what the catalog says of a version, while it offers it. */
function findOffer(offers: readonly RuntimeOffer[], name: string, version: string): RuntimeVersionOffer | null {
  return offers.find((offer) => offer.name === name)?.versions.find((entry) => entry.version === version) ?? null;
}

function editionOf(offers: readonly RuntimeOffer[], name: string, version: string): string | null {
  return findOffer(offers, name, version)?.edition ?? null;
}

function keyOf({ name, version }: { name: string; version: string }): string {
  return `${name} ${version}`;
}

function compareRows(a: Row, b: Row): number {
  const rank = (row: Row) => (row.isDefault || row.becomesDefault ? 0 : row.isPrevious ? 1 : row.isWanted ? 2 : 3);
  return rank(a) - rank(b) || b.version.localeCompare(a.version, undefined, { numeric: true });
}

/** Return a key that changes with everything the list of runtimes may change with, and not with mere progress. */
export function signatureOf(status: Pick<ContainerStatus, "specGeneration" | "runtimes" | "steps">): string {
  const { specGeneration, runtimes, steps } = status;
  const there = runtimes.map(({ name, version, default: isDefault, verified, checkedAt, installedAt }) => [name, version, isDefault, verified, checkedAt, installedAt]);
  const doing = steps.filter(({ name }) => isOfRuntime(name)).map(({ name, state, code }) => [name, state, code]);
  return JSON.stringify([specGeneration, there, doing]);
}

export type Action = "default" | "verify" | "repair" | "remove";

/** Return what can be done with a version; what is on its way out is left alone. */
export function offerActions(row: Row): Action[] {
  if (!row.isWanted) return [];
  const isThere = row.record !== null;
  // What has failed is told in full, and has its own button there.
  const isFaulty = row.step?.state !== "failed" && row.record !== null && !row.record.verified;
  return [
    ...(isFaulty ? (["repair"] as const) : []),
    ...(!row.isDefault && !row.becomesDefault ? (["default"] as const) : []),
    ...(isThere ? (["verify"] as const) : []),
    "remove",
  ];
}

/** Tell whether all versions are on their way out: what they are of goes with the last of them. */
export function isLeaving({ rows }: Pick<Group, "rows">): boolean {
  return rows.length > 0 && rows.every(({ isWanted }) => !isWanted);
}

/** Return what a button says. */
export function labelOf(action: Action, row: Row): string {
  switch (action) {
    case "default":
      return "Make default";
    case "verify":
      return "Verify";
    case "repair":
      return "Repair";
    case "remove":
      return row.record === null ? "Cancel" : "Remove";
  }
}

/** Return why a version cannot be removed, as far as that can be told here; the API has the last word. */
export function whyStays(row: Row, groups: readonly Group[]): string | null {
  const wanted = groups.flatMap(({ rows }) => rows).filter(({ isWanted }) => isWanted);
  const isLastThere = row.record !== null && wanted.filter(({ record }) => record !== null).length === 1;
  if (wanted.length <= 1 || isLastThere) return "It is the only runtime that this container has. Install another one first.";
  const others = wanted.filter(({ name, version }) => name === row.name && version !== row.version);
  const leads = wanted.some(({ name, becomesDefault }) => name === row.name && becomesDefault) ? row.becomesDefault : row.isDefault;
  return leads && others.length > 0 ? "It is the default. Make another version the default first, or roll back." : null;
}

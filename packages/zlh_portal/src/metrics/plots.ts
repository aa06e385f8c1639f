/** Samples made into plots: values over time, rates out of totals, gaps where nothing was measured; pure. */
import type { Metrics } from "../api/types";
import type { Unit } from "./units";

export interface Curve {
  label: string;
  values: (number | null)[];
}

export interface Plot {
  id: string;
  title: string;
  unit: Unit;
  /** Seconds since 1970, rising. */
  times: number[];
  curves: Curve[];
  /** What may be used at most, or null where nothing limits it. */
  limit: number | null;
}

// Agents send a sample a minute; a longer silence than this many of them is a gap and not a straight line.
const SAMPLE_S = 60;
const SILENT_SAMPLES = 2.5;
const MOST_PROCESSES = 8;

/** Return how long two points may be apart and still be joined. */
export function gapS(spanS: number, points: number): number {
  return Math.max(SAMPLE_S, spanS / points) * SILENT_SAMPLES;
}

/** Return both in one row of rising times, each moment once, from `fromMs` on. */
export function mergeSamples(kept: readonly Metrics[], recent: readonly Metrics[], fromMs: number): Metrics[] {
  const byTime = new Map<number, Metrics>();
  for (const sample of [...kept, ...recent]) {
    const ms = Date.parse(sample.observedAt);
    if (ms >= fromMs) byTime.set(ms, sample);
  }
  return [...byTime].sort(([a], [b]) => a - b).map(([, sample]) => sample);
}

/** Return the plots of the container as a whole, and those that tell its processes apart. */
export function buildPlots(samples: readonly Metrics[], gap: number): { whole: Plot[]; apart: Plot[] } {
  const rows = withGaps(samples, ({ observedAt }) => observedAt, gap);
  const times = rows.map(({ atS }) => atS);
  const newest = samples.at(-1)?.container;
  const plot = (id: string, title: string, unit: Unit, curves: Curve[], limit: number | null = null): Plot => ({ id, title, unit, times, curves, limit });
  const value = (label: string, pick: Pick) => ({ label, values: rows.map(({ sample }) => (sample ? pick(sample) : null)) });
  const rate = (label: string, pick: Pick) => ({ label, values: rates(rows, pick) });
  const whole = [
    plot("cpu", "CPU", "cores", [cores(rows, "Used", (sample) => sample.container)], newest?.cpuLimitCores ?? null),
    plot("memory", "Memory", "bytes", [
      value("Used", ({ container }) => container.memoryBytes), value("Of it cache", ({ container }) => container.memoryCacheBytes),
    ], newest?.memoryLimitBytes ?? null),
    plot("io", "Files read and written", "bytes/s", [
      rate("Read", (sample) => sum(sample, ({ usage }) => usage.readBytes)), rate("Written", (sample) => sum(sample, ({ usage }) => usage.writtenBytes)),
    ]),
    plot("network", "Network", "bytes/s", [rate("Received", ({ container }) => container.receivedBytes), rate("Sent", ({ container }) => container.sentBytes)]),
    plot("tasks", "Processes and threads", "count", [
      value("Processes", ({ container }) => container.processes), value("Threads in what the agent runs", (sample) => sum(sample, ({ usage }) => usage.threads)),
    ], newest?.processesLimit ?? null),
    plot("disk", "Disk", "bytes", [value("Used", ({ container }) => container.diskUsedBytes)], newest?.diskTotalBytes ?? null),
  ].map(withoutEmptyCurves);
  const names = namesOf(samples);
  const usageOf = (name: string) => (sample: Metrics) => sample.processes.find((process) => labelOf(process) === name)?.usage;
  const apart = names.length === 0 ? [] : [
    plot("cpu-apart", "CPU of each process", "cores", names.map((name) => cores(rows, name, usageOf(name)))),
    plot("memory-apart", "Memory of each process", "bytes", names.map((name) => value(name, (sample) => usageOf(name)(sample)?.memoryBytes ?? null))),
  ];
  return { whole, apart };
}

type Pick = (sample: Metrics) => number | null;

export interface Row<T> {
  atS: number;
  /** Null is a gap. */
  sample: T | null;
}

/** Return samples of rising times as rows, with a gap between two that are more than `gap` seconds apart. */
export function withGaps<T>(samples: readonly T[], timeOf: (sample: T) => string, gap: number): Row<T>[] {
  const rows: Row<T>[] = [];
  for (const sample of samples) {
    const atS = Date.parse(timeOf(sample)) / 1000;
    const before = rows.at(-1);
    if (before && atS - before.atS > gap) rows.push({ atS: (before.atS + atS) / 2, sample: null });
    rows.push({ atS, sample });
  }
  return rows;
}

/** A total that shrinks has begun anew, as after a restart: nothing is known of the time in between. */
function rates(rows: readonly Row<Metrics>[], pick: Pick): (number | null)[] {
  return rows.map(({ atS, sample }, i) => {
    const before = rows[i - 1];
    if (!sample || !before?.sample) return null;
    const [then, now] = [pick(before.sample), pick(sample)];
    return then === null || now === null || now < then || atS <= before.atS ? null : (now - then) / (atS - before.atS);
  });
}

/** The share over the whole time between two points; the agent's own, which knows only its last minute, for the first. */
function cores(rows: readonly Row<Metrics>[], label: string, pick: (sample: Metrics) => { cpuS: number; cpuCores: number | null } | undefined): Curve {
  const between = rates(rows, (sample) => pick(sample)?.cpuS ?? null);
  return { label, values: rows.map(({ sample }, i) => between[i] ?? (sample ? (pick(sample)?.cpuCores ?? null) : null)) };
}

function sum(sample: Metrics, pick: (process: Metrics["processes"][number]) => number | null): number | null {
  const known = sample.processes.map(pick).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((all, value) => all + value, 0);
}

/** A terminal may be called like a process. */
function labelOf({ name, kind }: Metrics["processes"][number]): string {
  return kind === "terminal" ? `${name} (terminal)` : name;
}

/** The processes that there are now, and those that there were. */
function namesOf(samples: readonly Metrics[]): string[] {
  const names = new Set<string>();
  for (const sample of samples.toReversed()) {
    for (const process of sample.processes) names.add(labelOf(process));
    if (names.size >= MOST_PROCESSES) break;
  }
  return [...names].slice(0, MOST_PROCESSES);
}

function withoutEmptyCurves(plot: Plot): Plot {
  return { ...plot, curves: plot.curves.filter(({ values }, i) => i === 0 || values.some((value) => value !== null)) };
}

/** Tell whether there is anything to draw. */
export function hasValues({ curves }: Plot): boolean {
  return curves.some(({ values }) => values.some((value) => value !== null));
}

/** Return the top of the scale: the limit where that is near, or where the way to it is what one wants to see. */
export function topOf({ curves, limit, unit }: Plot): number {
  const highest = curves.flatMap(({ values }) => values).reduce<number>((top, value) => Math.max(top, value ?? 0), 0);
  const isNear = limit !== null && (unit === "bytes" || highest >= limit / 4);
  const floor = unit === "cores" ? 0.1 : unit === "bytes" || unit === "bytes/s" ? 1024 : 5;
  return Math.max(isNear ? limit * 1.05 : 0, highest * 1.15, floor);
}

/** Return a plot in one sentence, for who cannot see it. */
export function summarize({ title, curves, unit }: Plot, format: (value: number, unit: Unit) => string): string {
  const parts = curves.map(({ label, values }) => {
    const known = values.filter((value) => value !== null);
    const last = known.at(-1);
    return last === undefined ? `${label} unknown` : `${label} last ${format(last, unit)}, highest ${format(Math.max(...known), unit)}`;
  });
  return `${title}: ${parts.join("; ")}`;
}

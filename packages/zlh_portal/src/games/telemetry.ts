/** What was seen of a game server over time, as plots; pure. */
import type { TelemetryPoint } from "../api/types";
import { type Curve, hasValues, type Plot, type Row, withGaps } from "../metrics/plots";
import type { Unit } from "../metrics/units";

// Servers are looked at once a minute; a longer silence than this is a gap and not a straight line.
const GAP_S = 200;
// What is shown where there is but one look.
const LEAST_S = 600;

type Pick = (point: TelemetryPoint) => number | null;

/** Return the plots of a server that have anything to show: players, latency, ticks. `most` is how many may play. */
export function buildGamePlots(points: readonly TelemetryPoint[], most: number | null): Plot[] {
  const rows = withGaps(points, ({ at }) => at, GAP_S);
  const times = rows.map(({ atS }) => atS);
  const plot = (id: string, title: string, unit: Unit, pick: Pick, limit: number | null = null): Plot => ({ id, title, unit, times, limit, curves: [curve(rows, title, pick)] });
  return [
    plot("players", "Players", "count", ({ players }) => players, most),
    plot("latency", "Answer to a ping", "ms", ({ latencyMs }) => latencyMs),
    plot("ticks", "Ticks", "ticks/s", ({ ticksPerS }) => ticksPerS),
  ].filter(hasValues);
}

/** Return the time that the plots show, in seconds since 1970. */
export function rangeOf(points: readonly TelemetryPoint[], nowMs: number): { from: number; to: number } {
  const to = nowMs / 1000;
  const first = points[0] ? Date.parse(points[0].at) / 1000 : to;
  return { from: Math.min(first, to - LEAST_S), to };
}

/** Return all looks in one row of rising times; the last one is not among those before it. */
export function joinPoints(points: readonly TelemetryPoint[], now: TelemetryPoint | null): TelemetryPoint[] {
  const last = points.at(-1);
  return now && (!last || Date.parse(now.at) > Date.parse(last.at)) ? [...points, now] : [...points];
}

function curve(rows: readonly Row<TelemetryPoint>[], label: string, pick: Pick): Curve {
  return { label, values: rows.map(({ sample }) => (sample ? pick(sample) : null)) };
}

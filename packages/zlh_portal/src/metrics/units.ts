/** Figures with their units, as they stand on an axis and in a sentence; pure. */
import { formatBytes } from "../layout/words";

export type Unit = "cores" | "bytes" | "bytes/s" | "count" | "ms" | "ticks/s";

/** "0.42 cores", "182 MiB", "1.5 KiB/s", "12", "3.4 ms", "20 ticks/s". */
export function formatFigure(value: number, unit: Unit): string {
  switch (unit) {
    case "cores":
      return `${trim(value)} ${value === 1 ? "core" : "cores"}`;
    case "bytes":
      return formatBytes(Math.round(value));
    case "bytes/s":
      return `${formatBytes(Math.round(value))}/s`;
    case "count":
      return String(Math.round(value * 10) / 10);
    case "ms":
    case "ticks/s":
      return `${Math.round(value * 10) / 10} ${unit}`;
  }
}

/** As above, shorter: the title of the plot has the unit. */
export function formatTick(value: number, unit: Unit): string {
  return unit === "cores" ? trim(value) : formatFigure(value, unit);
}

/** "12 %" of a limit, or null where there is none. */
export function formatShare(value: number, limit: number | null): string | null {
  return limit === null || limit <= 0 ? null : `${Math.round((value / limit) * 100)} %`;
}

function trim(value: number): string {
  return value > 0 && value < 0.005 ? "< 0.01" : String(Number(value.toFixed(value < 10 ? 2 : 1)));
}

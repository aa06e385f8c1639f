/** uPlot as the hand that draws a plot; what is drawn is decided elsewhere. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colorsOf } from "./palette";
import { type Plot, topOf } from "./plots";
import { formatTick, type Unit } from "./units";

export interface Range {
  from: number;
  to: number;
}

/** The point that the pointer is at, in pixels of the frame. */
export interface Pointed {
  index: number;
  left: number;
  width: number;
  /** On which side of the pointer there is room. */
  isRight: boolean;
}

export interface Drawing {
  show(plot: Plot, range: Range): void;
  close(): void;
}

const HEIGHT = 170;
const AXIS_WIDTH = 68;
// The words of a scale stay round: steps of bytes are powers of two, and nothing counts in halves.
const BINARY = Array.from({ length: 50 }, (_, i) => 2 ** i);
const DECIMAL = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const STEPS: Readonly<Record<Unit, number[]>> = { cores: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...DECIMAL], bytes: BINARY, "bytes/s": BINARY, count: DECIMAL, ms: DECIMAL, "ticks/s": DECIMAL };
const INK = {
  light: { text: "#5f6775", grid: "#e7e9f0", limit: "#d1343f" },
  dark: { text: "#959cad", grid: "#2b303b", limit: "#ff8787" },
} as const;

export function openDrawing(element: HTMLElement, plot: Plot, scheme: "light" | "dark", onPoint: (pointed: Pointed | null) => void): Drawing {
  let shown = plot;
  let range: Range = { from: 0, to: 1 };
  const drawing = new uPlot(
    {
      width: Math.max(1, element.clientWidth), height: HEIGHT, ...options(scheme, plot),
      scales: { x: { time: true, range: () => [range.from, range.to] }, y: { range: () => [0, topOf(shown)] } },
      hooks: { setCursor: [(self) => onPoint(pointOf(self))] },
    },
    dataOf(plot), element,
  );
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0) drawing.setSize({ width: element.clientWidth, height: HEIGHT });
  });
  observer.observe(element);
  return {
    show: (next, nextRange) => {
      shown = next;
      range = nextRange;
      drawing.setData(dataOf(next));
    },
    close: () => {
      observer.disconnect();
      drawing.destroy();
      onPoint(null);
    },
  };
}

function options(scheme: "light" | "dark", plot: Plot): Pick<uPlot.Options, "series" | "axes" | "cursor" | "legend" | "padding"> {
  const ink = INK[scheme];
  const colors = colorsOf(scheme);
  const axis = { stroke: ink.text, font: "11px system-ui, sans-serif", grid: { stroke: ink.grid, width: 1 }, ticks: { show: false } };
  return {
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    axes: [
      { ...axis, size: 26, space: 64, values: (_, moments) => moments.map(clock) },
      {
        ...axis, size: AXIS_WIDTH, space: 28, values: (_, ticks) => ticks.map((tick) => formatTick(tick, plot.unit)),
        incrs: STEPS[plot.unit],
      },
    ],
    series: [
      {},
      ...plot.curves.map(({ label }, i) => ({ label, stroke: colors[i % colors.length] ?? ink.text, width: 1.6, ...(i === 0 && plot.curves.length < 3 ? { fill: `${colors[0] ?? ""}22` } : {}) })),
      ...(plot.limit === null ? [] : [{ label: "Limit", stroke: ink.limit, width: 1.2, dash: [6, 4], points: { show: false } }]),
    ],
  };
}

function dataOf({ times, curves, limit }: Plot): uPlot.AlignedData {
  return [times, ...curves.map(({ values }) => values), ...(limit === null ? [] : [times.map(() => limit)])];
}

function pointOf(self: uPlot): Pointed | null {
  const { idx, left } = self.cursor;
  if (typeof idx !== "number" || left === undefined || left < 0) return null;
  const frame = AXIS_WIDTH + left;
  return { index: idx, left: frame, width: self.width, isRight: frame > self.width / 2 };
}

function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
}

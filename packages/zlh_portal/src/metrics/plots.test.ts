import { describe, expect, it } from "vitest";
import type { Metrics } from "../api/types";
import { buildPlots, gapS, hasValues, mergeSamples, summarize, topOf, type Plot } from "./plots";
import { sampleMetrics, sampleUsage } from "./sample";
import { formatFigure, formatShare, formatTick } from "./units";

const whole = (id: string, samples: Metrics[], gap = 150): Plot => {
  const plot = buildPlots(samples, gap).whole.find((each) => each.id === id);
  if (!plot) throw new Error(`no plot ${id}`);
  return plot;
};
const values = (plot: Plot) => plot.curves.map((curve) => curve.values);

describe("mergeSamples", () => {
  it("puts both in one row, each moment once and none that is too old", () => {
    const merged = mergeSamples([sampleMetrics(60), sampleMetrics(120)], [sampleMetrics(123), sampleMetrics(120), sampleMetrics(90)], 80_000);
    expect(merged.map(({ observedAt }) => Date.parse(observedAt) / 1000)).toEqual([90, 120, 123]);
  });
});

describe("buildPlots", () => {
  it("makes shares of a core out of seconds of CPU, over all of the time between", () => {
    const samples = [sampleMetrics(0, { cpuS: 10, cpuCores: 0.5 }), sampleMetrics(60, { cpuS: 40, cpuCores: 9 }), sampleMetrics(70, { cpuS: 40 })];
    expect(values(whole("cpu", samples))).toEqual([[0.5, 0.5, 0]]);
  });
  it("knows nothing of the time in which a total began anew", () => {
    const samples = [sampleMetrics(0, { receivedBytes: 900, sentBytes: 1 }), sampleMetrics(10, { receivedBytes: 50, sentBytes: 1 }), sampleMetrics(20, { receivedBytes: 150, sentBytes: 1 })];
    expect(values(whole("network", samples))).toEqual([[null, null, 10], [null, 0, 0]]);
  });
  it("shows a gap as a gap, and no rate across it", () => {
    const samples = [sampleMetrics(0, { cpuS: 0, memoryBytes: 5 }), sampleMetrics(60, { cpuS: 6, memoryBytes: 6 }), sampleMetrics(600, { cpuS: 60, memoryBytes: 7 })];
    expect(whole("memory", samples).times).toEqual([0, 60, 330, 600]);
    expect(values(whole("memory", samples))).toEqual([[5, 6, null, 7]]);
    expect(values(whole("cpu", samples))).toEqual([[null, 0.1, null, null]]);
  });
  it("says nothing of what is not known", () => {
    const plot = whole("network", [sampleMetrics(0), sampleMetrics(10)]);
    expect(hasValues(plot)).toBe(false);
    expect(whole("memory", [sampleMetrics(0)]).curves.map(({ label }) => label)).toEqual(["Used"]);
  });
  it("adds up what processes read, whichever of them tell", () => {
    const at = (s: number, read: number) => sampleMetrics(s, {}, [sampleUsage("a", { readBytes: read }), sampleUsage("b")]);
    expect(values(whole("io", [at(0, 100), at(10, 300)]))[0]).toEqual([null, 20]);
  });
  it("tells processes apart, also one that came or went", () => {
    const samples = [
      sampleMetrics(0, {}, [sampleUsage("old", { memoryBytes: 1 }), sampleUsage("web", { memoryBytes: 2, cpuS: 1 })]),
      sampleMetrics(10, {}, [sampleUsage("web", { memoryBytes: 3, cpuS: 6 })]),
    ];
    const [cpu, memory] = buildPlots(samples, 150).apart;
    expect(memory?.curves).toEqual([{ label: "web", values: [2, 3] }, { label: "old", values: [1, null] }]);
    expect(cpu?.curves[0]).toEqual({ label: "web", values: [null, 0.5] });
    expect(buildPlots([sampleMetrics(0)], 150).apart).toEqual([]);
  });
  it("does not take a terminal for a process of the same name", () => {
    const both = [sampleUsage("main", { memoryBytes: 1 }), { ...sampleUsage("main", { memoryBytes: 2 }), kind: "terminal" as const }];
    expect(buildPlots([sampleMetrics(0, {}, both)], 150).apart[1]?.curves).toEqual([{ label: "main", values: [1] }, { label: "main (terminal)", values: [2] }]);
  });
  it("has no plot apart for more processes than one can tell apart", () => {
    const many = Array.from({ length: 20 }, (_, i) => sampleUsage(`p${i}`));
    expect(buildPlots([sampleMetrics(0, {}, many)], 150).apart[0]?.curves).toHaveLength(8);
  });
});

it("joins points that are as far apart as the span makes them", () => {
  expect(gapS(900, 240)).toBe(150);
  expect(gapS(86_400, 240)).toBe(900);
});

describe("topOf", () => {
  const plot = (unit: Plot["unit"], highest: number, limit: number | null): Plot => ({ id: "x", title: "X", unit, times: [0], curves: [{ label: "a", values: [highest, null] }], limit });
  it("shows the way to the limit of memory always", () => expect(topOf(plot("bytes", 10_000, 1_000_000))).toBeCloseTo(1_050_000));
  it("does not flatten a little CPU under a far limit", () => expect(topOf(plot("cores", 0.2, 8))).toBeCloseTo(0.23));
  it("shows the limit once it is near", () => expect(topOf(plot("cores", 1, 2))).toBeCloseTo(2.1));
  it("has a scale for nothing at all", () => expect(topOf(plot("cores", 0, null))).toBe(0.1));
});

it("tells a plot in a sentence", () => {
  const plot = whole("memory", [sampleMetrics(0, { memoryBytes: 2 ** 20 }), sampleMetrics(10, { memoryBytes: 2 ** 19 })]);
  expect(summarize(plot, formatFigure)).toBe("Memory: Used last 512 KiB, highest 1 MiB");
});

it.each([
  [formatFigure(0.417, "cores"), "0.42 cores"], [formatFigure(1, "cores"), "1 core"], [formatFigure(0.001, "cores"), "< 0.01 cores"], [formatFigure(0, "cores"), "0 cores"],
  [formatFigure(1536.4, "bytes/s"), "1.5 KiB/s"], [formatFigure(3, "count"), "3"], [formatTick(0.5, "cores"), "0.5"], [formatShare(1, 4), "25 %"], [formatShare(1, null), null],
])("%s", (words, wanted) => expect(words).toBe(wanted));

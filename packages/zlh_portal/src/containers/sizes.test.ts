import { describe, expect, it } from "vitest";
import { LIMITS, sampleStatus, sampleStep, SIZE } from "./sample";
import { describeResize, describeSize, formatSize, indexOfStep, stepsBetween, tellUnenforced, wishBetween } from "./sizes";

describe("formatSize", () => {
  it.each([["cpu", 1, "1 core"], ["cpu", 0.25, "0.25 cores"], ["memoryMib", 512, "512 MiB"], ["memoryMib", 1536, "1.5 GiB"], ["diskMib", 10_240, "10 GiB"], ["pids", 64, "64 processes and threads"]] as const)(
    "%s %d", (field, value, text) => expect(formatSize(field, value)).toBe(text));
  it("sums up", () => expect(describeSize(SIZE)).toBe("2 cores, 2 GiB of memory, 10 GiB of disk"));
});

describe("stepsBetween", () => {
  it("ends where the platform does", () => expect(stepsBetween("cpu", 0.1, 5, 2)).toEqual([0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5]));
  it("keeps what is there", () => expect(stepsBetween("memoryMib", 128, 512, 300)).toEqual([128, 256, 300, 512]));
  it("offers nothing below a disk that cannot shrink", () => expect(stepsBetween("diskMib", 20_480, 30_720, 20_480)).toEqual([20_480, 30_720]));
  it("has what is there alone where nothing more is allowed", () => expect(stepsBetween("diskMib", 20_480, 10_240, 20_480)).toEqual([20_480]));
  it("finds where it stands", () => {
    expect(indexOfStep([1, 2, 4], 2)).toBe(1);
    expect(indexOfStep([1, 2, 4], 3)).toBe(1);
    expect(indexOfStep([1, 2, 4], 0)).toBe(0);
  });
});

describe("wishBetween", () => {
  it("names what differs", () => expect(wishBetween(SIZE, { ...SIZE, cpu: 4 })).toEqual({ cpu: 4, memoryMib: null, diskMib: null, pids: null }));
  it("asks for nothing where nothing does", () => expect(wishBetween(SIZE, { ...SIZE })).toBeNull());
});

describe("tellUnenforced", () => {
  it("is silent where everything holds", () => expect(tellUnenforced(LIMITS)).toBeNull());
  it("names what does not", () => expect(tellUnenforced({ ...LIMITS, enforced: ["cpu", "memoryMib", "pids"] })).toContain("limits: disk."));
  it("says so where nothing does", () => expect(tellUnenforced({ ...LIMITS, enforced: [], driver: "process" })).toContain("process, which holds containers to none"));
});

describe("describeResize", () => {
  const LARGER = { ...SIZE, memoryMib: 4096 };
  const pending = sampleStatus({ resources: LARGER, degraded: ["resize_pending"] });
  it("says what holds", () => expect(describeResize(sampleStatus(), LIMITS.enforced).words.label).toBe("In force"));
  it("does not say so where nothing is enforced", () => expect(describeResize(sampleStatus(), []).words.label).toBe("Noted"));
  it("claims nothing of what is not there", () => expect(describeResize(sampleStatus({ resourcesInForce: null }), LIMITS.enforced).words.label).toBe("Not yet"));
  it("names both while it is under way", () =>
    expect(describeResize(pending, LIMITS.enforced)).toMatchObject({ words: { label: "Being applied" }, differences: ["Memory: 2 GiB in force, 4 GiB wanted"], failed: null }));
  it("says that the host refuses, also while it is asked again", () => {
    for (const state of ["failed", "running"] as const) {
      const step = sampleStep("resize-guest", state, { code: "guest_failed", message: "The disk is full." });
      expect(describeResize({ ...pending, steps: [step] }, LIMITS.enforced)).toMatchObject({ words: { label: "Refused by the host" }, failed: step });
    }
  });
  it("knows nothing of limits that somebody has changed", () =>
    expect(describeResize({ ...pending, resourcesInForce: null }, LIMITS.enforced).differences).toEqual([]));
});

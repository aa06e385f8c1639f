import { describe, expect, it } from "vitest";
import type { Limits, QuotaUse, Resources } from "../api/types";
import { findShortage, presetOf, presetsOf } from "./presets";

const USUAL: Resources = { cpu: 2, memoryMib: 2048, diskMib: 10_240, pids: 2048 };
const limits = (maximum: Partial<Resources> = {}): Limits => ({ default: USUAL, maximum: { cpu: 8, memoryMib: 16_384, diskMib: 102_400, pids: 8192, ...maximum }, enforced: [], driver: "process" });
const use = (name: string, used: number, quota: number | null): QuotaUse => ({ name, used, quota, isOwn: false });

describe("sizes", () => {
  it("are half, once and twice of what is usual", () => {
    expect(presetsOf(limits()).map(({ name, size }) => [name, size.cpu, size.memoryMib])).toEqual([["small", 1, 1024], ["usual", 2, 2048], ["large", 4, 4096]]);
  });
  it("end where the installation does, and none is there twice", () => {
    expect(presetsOf(limits({ cpu: 2, memoryMib: 2048, diskMib: 10_240 })).map(({ name }) => name)).toEqual(["small", "usual"]);
    expect(presetsOf(limits({ memoryMib: 3000 })).at(-1)?.size.memoryMib).toBe(3000);
  });
  it("are known again, and one of one's own is none of them", () => {
    const presets = presetsOf(limits());
    expect(presetOf(presets, USUAL)?.name).toBe("usual");
    expect(presetOf(presets, { ...USUAL, pids: 64 })).toBeNull();
  });
});

describe("the quota", () => {
  it("is told at the field that it has no room for", () => {
    const { all, fields } = findShortage([use("containers", 1, 2), use("memoryMib", 1024, 2048), use("cpu", 7, 8)], USUAL);
    expect(all).toBeNull();
    expect(fields).toEqual({ "resources.memoryMib": "Of the quota 1 GiB is left.", "resources.cpu": "Of the quota 1 core is left." });
    expect(findShortage([use("cpu", 7.5, 8)], USUAL).fields).toEqual({ "resources.cpu": "Of the quota 0.5 cores are left." });
  });
  it("says that no container has room", () => {
    expect(findShortage([use("containers", 3, 3)], USUAL).all).toMatch(/allows 3 containers/);
    expect(findShortage([use("containers", 3, null), use("diskMib", 5, null)], USUAL)).toEqual({ all: null, fields: {} });
  });
});

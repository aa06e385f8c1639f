import { describe, expect, it } from "vitest";
import type { RuntimeOffer, RuntimeVersionOffer } from "../api/types";
import { chooseFirst, isWanted } from "./firstChoice";
import type { Group, Row } from "./rows";

const version = (name: string, more: Partial<RuntimeVersionOffer> = {}): RuntimeVersionOffer => ({
  version: name, channel: "stable", platforms: [], default: false, edition: null, licence: "MIT", size: null, unpackedSize: null, sha256: null, source: null, ...more,
});
const OFFERS: RuntimeOffer[] = [
  { name: "deno", title: "Deno", versions: [version("2.6.0", { default: true })] },
  { name: "node", title: "Node.js", versions: [version("26.0.0", { channel: "candidate" }), version("24.1.0"), version("22.0.0", { default: true }), version("20.0.0")] },
];
const group = (name: string, versions: Record<string, boolean>): Group => ({
  name, title: name, upgrade: null, previous: null,
  rows: Object.entries(versions).map(([of, isThere]): Row => ({
    name, version: of, record: null, isDefault: false, isPrevious: false, isWanted: isThere, becomesDefault: false, step: null, isPending: false, edition: null,
  })),
});

describe("what another runtime begins with", () => {
  it("is the newest of a language that is there already", () => {
    expect(chooseFirst(OFFERS, [group("node", { "22.0.0": true })])).toEqual({ runtime: "node", version: "24.1.0" });
    expect(chooseFirst(OFFERS, [group("node", { "24.1.0": true, "22.0.0": true })])).toEqual({ runtime: "node", version: "20.0.0" });
  });
  it("is a candidate where nothing else is left of it", () => {
    expect(chooseFirst(OFFERS, [group("node", { "24.1.0": true, "22.0.0": true, "20.0.0": true })])).toEqual({ runtime: "node", version: "26.0.0" });
  });
  it("is the first of the catalog where there is nothing, or where what there was is leaving", () => {
    expect(chooseFirst(OFFERS, [])).toEqual({ runtime: "deno", version: "2.6.0" });
    expect(chooseFirst(OFFERS, [group("node", { "22.0.0": false })])).toEqual({ runtime: "deno", version: "2.6.0" });
  });
  it("is another language where one is there in full", () => {
    expect(chooseFirst(OFFERS, [group("deno", { "2.6.0": true })])).toEqual({ runtime: "node", version: "22.0.0" });
  });
  it("is something that is there where nothing else is offered", () => {
    expect(chooseFirst(OFFERS.slice(0, 1), [group("deno", { "2.6.0": true })])).toEqual({ runtime: "deno", version: "2.6.0" });
    expect(chooseFirst([], [])).toEqual({ runtime: null, version: null });
  });
});

it("knows what is leaving as not wanted", () => {
  expect(isWanted([group("node", { "22.0.0": false })], "node", "22.0.0")).toBe(false);
  expect(isWanted([group("node", { "22.0.0": true })], "node", "22.0.0")).toBe(true);
});

import { describe, expect, it } from "vitest";
import type { InstalledRuntime, PendingRuntime, RuntimeOffer, Runtimes } from "../api/types";
import { sampleStep } from "../containers/sample";
import { groupRuntimes, isLeaving, labelOf, offerActions, type Row, signatureOf, whyStays } from "./rows";

const record = (name: string, version: string, more: Partial<InstalledRuntime> = {}): InstalledRuntime => ({
  name, version, default: false, previous: false, verified: true, faults: 0, checkedAt: null, size: 1, sha256: "0", source: "x", installedAt: "2026-01-01T00:00:00Z", ...more,
});
const pending = (name: string, version: string, more: Partial<PendingRuntime> = {}): PendingRuntime => ({
  name, version, default: false, wanted: true, step: null, ...more,
});
const runtimes = (more: Partial<Runtimes>): Runtimes => ({ runtimes: [], pending: [], upgrades: [], ...more });
const OFFERS: RuntimeOffer[] = [
  { name: "java", title: "Java", versions: [{ version: "21.0.5", channel: "stable", platforms: [], default: true, edition: "JDK", licence: "GPL-2.0", size: null, unpackedSize: null, sha256: null, source: null }] },
];
const NOTHING = { steps: [] };

describe("groupRuntimes", () => {
  it("puts the default first, then the way back, then the others, newest first", () => {
    const [node] = groupRuntimes(runtimes({
      runtimes: [record("node", "9.0.0"), record("node", "22.0.0", { previous: true }), record("node", "10.0.0"), record("node", "24.0.0", { default: true })],
      upgrades: [{ name: "node", version: "26.0.0" }],
    }), NOTHING, OFFERS);
    expect(node?.rows.map(({ version }) => version)).toEqual(["24.0.0", "22.0.0", "10.0.0", "9.0.0"]);
    expect([node?.title, node?.upgrade, node?.previous?.version]).toEqual(["node", "26.0.0", "22.0.0"]);
  });
  it("shows what is on its way beside what is there, with the newest of its step", () => {
    const old = sampleStep("install-node", "running", { progress: 0.1 });
    const [node] = groupRuntimes(
      runtimes({ runtimes: [record("node", "24.0.0", { default: true })], pending: [pending("node", "26.0.0", { default: true, step: old })] }),
      { steps: [sampleStep("install-node", "running", { progress: 0.6 })] }, OFFERS);
    const next = node?.rows.find(({ version }) => version === "26.0.0");
    expect(next).toMatchObject({ record: null, becomesDefault: true, isDefault: false, isPending: true, step: { progress: 0.6 } });
    expect(node?.rows.find(({ version }) => version === "24.0.0")).toMatchObject({ isDefault: true, isPending: false });
  });
  it("marks what leaves, and knows titles and editions from the catalog", () => {
    const groups = groupRuntimes(runtimes({
      runtimes: [record("java", "21.0.5", { default: true }), record("go", "1.27.3", { default: true })], pending: [pending("go", "1.27.3", { wanted: false })],
    }), NOTHING, OFFERS);
    expect(groups.map(({ title }) => title)).toEqual(["go", "Java"]);
    expect(groups[0]?.rows[0]).toMatchObject({ isWanted: false, isDefault: true });
    expect(groups[1]?.rows[0]?.edition).toBe("JDK");
  });
});

const row = (version: string, more: Partial<Row> = {}): Row => ({
  name: "node", version, record: record("node", version), isDefault: false, isPrevious: false, isWanted: true, becomesDefault: false, step: null, isPending: false, edition: null, ...more,
});
const group = (...rows: Row[]) => ({ name: "node", title: "Node.js", rows, upgrade: null, previous: null });

describe("actions", () => {
  it("offers what makes sense", () => {
    expect(offerActions(row("24", { isDefault: true }))).toEqual(["verify", "remove"]);
    expect(offerActions(row("22"))).toEqual(["default", "verify", "remove"]);
    expect(offerActions(row("22", { isWanted: false }))).toEqual([]);
    expect(offerActions(row("26", { record: null, becomesDefault: true, step: sampleStep("install-node", "failed") }))).toEqual(["remove"]);
    expect(offerActions(row("24", { isDefault: true, record: record("node", "24", { verified: false }) }))).toContain("repair");
  });
  it("knows what goes as a whole", () => {
    const leaving = row("22", { isWanted: false });
    expect([isLeaving(group(leaving)), isLeaving(group(leaving, row("24"))), isLeaving(group())]).toEqual([true, false, false]);
  });
  it("cancels what is not there yet", () => expect([labelOf("remove", row("26", { record: null })), labelOf("remove", row("26"))]).toEqual(["Cancel", "Remove"]));
});

describe("whyStays", () => {
  const old = row("22", { isDefault: true });
  const next = row("24", { record: null, becomesDefault: true });
  it("keeps the only runtime", () => expect(whyStays(old, [group(old)])).toContain("only runtime"));
  it("keeps the default beside others", () => expect(whyStays(old, [group(old, row("20"))])).toContain("default"));
  it("lets the only version of one of several runtimes go", () => expect(whyStays(old, [group(old), { ...group({ ...old, name: "go" }), name: "go" }])).toBeNull());
  it("counts what was wished, not what is there yet", () => {
    expect(whyStays(next, [group(old, next)])).toContain("default");
    expect(whyStays(row("20"), [group(old, row("20"), next)])).toBeNull();
  });
  it("keeps the only one that is there", () => expect(whyStays(old, [group(old, next)])).toContain("only runtime"));
  it("does not count what leaves", () => expect(whyStays(old, [group(old, row("20", { isWanted: false }))])).toContain("only runtime"));
});

it("does not ask anew for mere progress", () => {
  const of = (progress: number, state: "running" | "done" = "running") =>
    signatureOf({ specGeneration: 1, runtimes: [record("node", "24")], steps: [sampleStep("install-node", state, { progress })] });
  expect(of(0.1)).toBe(of(0.9));
  expect(of(1, "done")).not.toBe(of(1));
});

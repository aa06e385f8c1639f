import { describe, expect, it } from "vitest";
import type { HistoryEntry } from "../api/types";
import { choicesOf, describeKind, filterEntries, parseEntry } from "./kinds";
import { addNewest, joinPages } from "./pages";

const entry = (id: string, more: Partial<HistoryEntry> = {}): HistoryEntry => ({ id, at: "2026-01-01T00:00:00Z", kind: "process.started", subject: "web", message: "It has started.", data: {}, ...more });
const ids = (entries: readonly HistoryEntry[]) => entries.map(({ id }) => id);

describe("describeKind", () => {
  it.each([
    ["process.started", {}, "Process started", "good"], ["process.exited", { wasAsked: true, code: null, signal: "SIGTERM" }, "Process exited", "quiet"],
    ["process.exited", { wasAsked: false, code: 3, signal: null }, "Process exited", "bad"], ["process.exited", { wasAsked: false, code: null, signal: "SIGKILL" }, "Process exited", "bad"],
    ["process.exited", { wasAsked: false, code: 0 }, "Process exited", "quiet"], ["process.gave_up", {}, "Process gave up", "bad"], ["process.hung", {}, "Process hung", "warn"],
    ["runtime.install_failed", {}, "Runtime install failed", "bad"], ["addon.unpack_failed", {}, "Addon unpack failed", "bad"], ["of_later.kind", {}, "Of later kind", "quiet"],
  ] as const)("%s with %j", (kind, data, label, tone) => expect(describeKind({ kind, data })).toEqual({ label, tone }));
});

it("filters by what an entry is about", () => {
  const entries = [entry("3"), entry("2", { subject: "bot" }), entry("1", { subject: null })];
  expect(ids(filterEntries(entries, "bot"))).toEqual(["2"]);
  expect(ids(filterEntries(entries, null))).toEqual(["3", "2", "1"]);
});

it("can be about whatever runs and whatever was told of, each once and none without a letter", () =>
  expect(choicesOf([{ name: "web" }, { name: "" }], [entry("3"), entry("2", { subject: "bot" }), entry("1", { subject: null }), entry("0", { subject: "" })])).toEqual(["bot", "web"]));

describe("pages", () => {
  const history = { pages: [{ items: [entry("12"), entry("9")], next: "9" }, { items: [entry("8")] }] };
  it("takes what has just happened at the front, once", () => {
    const grown = addNewest(addNewest(history, entry("13")), entry("13"));
    expect(ids(joinPages(grown.pages))).toEqual(["13", "12", "9", "8"]);
    expect(grown.pages[0]?.next).toBe("9");
  });
  it("puts what came late at its place", () => expect(ids(joinPages(addNewest(history, entry("10")).pages))).toEqual(["12", "10", "9", "8"]));
  it("waits for the first page", () => expect(addNewest({ pages: [] }, entry("1")).pages).toEqual([]));
  it("shows an entry once where pages overlap", () => expect(ids(joinPages([{ items: [entry("2"), entry("1")] }, { items: [entry("1")] }]))).toEqual(["2", "1"]));
});

describe("parseEntry", () => {
  it("takes an entry", () => expect(parseEntry({ vmid: 1, ...entry("5") })).toEqual(entry("5")));
  it("makes the best of what is odd beside", () => expect(parseEntry({ ...entry("5"), subject: 7, data: [] })).toEqual(entry("5", { subject: null })));
  it.each([null, "x", {}, { ...entry("5"), id: 5 }, { ...entry("5"), message: null }])("drops %j", (value) => expect(parseEntry(value)).toBeNull());
});

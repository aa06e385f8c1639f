import { describe, expect, it } from "vitest";
import { offerActions } from "./actions";
import { parseAddress, renderAddress } from "./address";
import { findAbsence } from "./availability";
import type { FileEntry } from "../api/types";
import { byteLength, findNameProblem, isArchive, renderOtherName, showName, splitEnding } from "./names";
import { describeAmount, describeOperation } from "./operations";
import { crumbsOf, isWithin, joinPath, nameOf, parentOf, renderOtherPath, resolvePath } from "./paths";
import { showMode, toggleRight } from "./rights";
import { describeRoom } from "./room";
import { countEntries, joinEntries, rowsInView, scrollToRow, sortByRights, tellsNew, turnOrder } from "./rows";
import { NOTHING, select, type Selection, type SelectionEvent } from "./selection";
import { change, chooseAbout, type Document, isUnsaved, judgeBytes, judgeEntry, openDocument } from "./editor/document";
import { decodeText, MOST_BYTES } from "./editor/text";

const entry = (name: string, more: Partial<FileEntry> = {}): FileEntry => ({ name, kind: "file", size: 1, modifiedAt: "2026-01-01T00:00:00Z", mode: "0644", version: "1", ...more });

describe("names", () => {
  it("shows bytes that are no text, and nothing that hides", () => {
    expect(showName("caf\u{10fee9}.txt")).toBe("caf\\xE9.txt");
    expect(showName("a\nb\u202etxt.exe")).toBe("a\\x0Ab\\u202Etxt.exe");
    expect(showName("a\u3164\u200d\u{e0041}")).toBe("a\\u3164\\u200D\\u{E0041}");
    expect(showName("żółw 🐢")).toBe("żółw 🐢");
  });
  it("counts the bytes on the disk", () => expect([byteLength("é"), byteLength("\u{10fee9}"), byteLength("🐢")]).toEqual([2, 1, 4]));
  it.each([["", "Give"], [".", "stand for"], ["..", "stand for"], ["a/b", "slash"], ["é".repeat(128), "256"]])("refuses %j", (name, why) => expect(findNameProblem(name)).toContain(why));
  it("takes every other name", () => expect(["a", "...", "é".repeat(127), " "].map(findNameProblem)).toEqual([null, null, null, null]));
  it.each([["a.tar.gz", ["a", ".tar.gz"]], [".env", [".env", ""]], ["a.b.c", ["a.b", ".c"]], ["a", ["a", ""]]])("splits %s", (name, parts) => expect(splitEnding(name)).toEqual(parts));
  it("makes another name that fits", () => {
    expect(renderOtherName("notes.tar.gz", 2)).toBe("notes (2).tar.gz");
    expect(byteLength(renderOtherName(`${"é".repeat(125)}.txt`, 12))).toBeLessThanOrEqual(255);
  });
  it("knows archives", () => expect(["a.zip", "a.tar.zst", "A.TGZ", "a.txt", "zip"].map(isArchive)).toEqual([true, true, true, false, false]));
});

describe("paths", () => {
  it("joins and takes apart", () => {
    expect([joinPath("", "a"), joinPath("a", "b"), joinPath("a", "")]).toEqual(["a", "a/b", "a"]);
    expect([parentOf("a/b/c"), parentOf("a"), nameOf("a/b"), nameOf("a")]).toEqual(["a/b", "", "b", "a"]);
    expect(crumbsOf("a/b")).toEqual([{ name: "a", path: "a" }, { name: "b", path: "a/b" }]);
    expect(renderOtherPath("a/b.txt", 3)).toBe("a/b (3).txt");
  });
  it.each([["a", "b", "a/b"], ["a", "/b/", "b"], ["a/b", "../c", "a/c"], ["a", "..", ""], ["a", "../..", null], ["", ".", ""], ["a", "/", ""]])("from %j, %j leads to %j", (folder, typed, path) => expect(resolvePath(folder, typed)).toBe(path));
  it("knows what lies within", () => expect([isWithin("a/b", "a"), isWithin("ab", "a"), isWithin("a", "a"), isWithin("x", "")]).toEqual([true, false, true, true]));
  it("says where one is, and finds it again", () => {
    const address = { root: "home", path: "a b/c&d", open: "a b/é?.txt", line: 7 };
    expect(parseAddress(new URLSearchParams(renderAddress(address)))).toEqual(address);
    expect(renderAddress({ root: null, path: "", open: null, line: null })).toBe("");
    expect(parseAddress(new URLSearchParams("path=//a/./b/&line=x"))).toEqual({ root: null, path: "a/b", open: null, line: null });
  });
});

it("writes rights as ls does, and turns them one by one", () => {
  expect([showMode("0644"), showMode("755"), showMode("1777"), showMode("4644")]).toEqual(["rw-r--r--", "rwxr-xr-x", "rwxrwxrwt", "rwSr--r--"]);
  expect(toggleRight("0644", 0, 2)).toBe("0744");
  expect(toggleRight("0744", 2, 0)).toBe("0740");
});

describe("rows", () => {
  it("draws those in view, and a few beyond", () => {
    expect(rowsInView(0, 400, 40, 10_000)).toEqual([0, 18]);
    expect(rowsInView(40_000, 400, 40, 10_000)).toEqual([992, 1018]);
    expect(rowsInView(4_000, 400, 40, 5)).toEqual([5, 5]);
  });
  it("scrolls as little as it must", () => expect([scrollToRow(2, 200, 400, 40), scrollToRow(5, 0, 400, 40), scrollToRow(12, 0, 400, 40)]).toEqual([80, 0, 120]));
  it("ends where a page tells nothing new, whatever it says of more", () => {
    const a = { entries: [entry("a")] };
    expect([tellsNew([a]), tellsNew([a, { entries: [entry("a"), entry("b")] }]), tellsNew([a, a]), tellsNew([a, { entries: [] }]), tellsNew([])]).toEqual([true, true, false, false, false]);
  });
  it("names each entry once", () => expect(joinEntries([{ entries: [entry("a"), entry("b")] }, { entries: [entry("b"), entry("c")] }]).map(({ name }) => name)).toEqual(["a", "b", "c"]));
  it("sorts by rights with folders first", () =>
    expect(sortByRights([entry("a", { mode: "0644" }), entry("d", { kind: "dir", mode: "0755" }), entry("b", { mode: "0600" })], false).map(({ name }) => name)).toEqual(["d", "b", "a"]));
  it("turns a column round, and begins with the largest and the newest", () => {
    expect(turnOrder({ by: "name", descending: false }, "name")).toEqual({ by: "name", descending: true });
    expect(turnOrder({ by: "name", descending: false }, "size")).toEqual({ by: "size", descending: true });
  });
  it("counts in words", () => expect([countEntries([]), countEntries([entry("a"), entry("d", { kind: "dir" }), entry("e", { kind: "dir" })])]).toEqual(["nothing", "1 file and 2 folders"]));
});

describe("selection", () => {
  const names = ["a", "b", "c", "d", "e"];
  const run = (...events: SelectionEvent[]): Selection => events.reduce((selection, event) => select(selection, event, names), NOTHING);
  const chosen = (selection: Selection) => [...selection.chosen].sort().join("");
  it("goes with the keyboard, and stays in the list", () => {
    expect(run({ type: "move", by: 1, how: "only" }).at).toBe("a");
    expect(run({ type: "move", by: Infinity, how: "only" }, { type: "move", by: 1, how: "only" }).at).toBe("e");
  });
  it("takes a range from where it began", () =>
    expect(chosen(run({ type: "pick", name: "b", how: "only" }, { type: "move", by: 2, how: "range" }, { type: "move", by: -1, how: "range" }))).toBe("bc"));
  it("adds and takes away single ones", () => expect(chosen(run({ type: "all" }, { type: "pick", name: "c", how: "toggle" }))).toBe("abde"));
  it("asks the menu about what is chosen, or about the one under the mouse alone", () => {
    expect(chosen(run({ type: "all" }, { type: "menu", name: "c" }))).toBe("abcde");
    expect(chosen(run({ type: "pick", name: "a", how: "only" }, { type: "menu", name: "c" }))).toBe("c");
  });
  it("forgets what is gone", () => expect(select(run({ type: "all" }), { type: "listed" }, ["a", "e"])).toMatchObject({ chosen: new Set(["a", "e"]), at: "a" }));
  it("finds what one types", () => expect(select(NOTHING, { type: "type", beginning: "Ne" }, ["makefile", "net", "news"]).at).toBe("net"));
});

it("offers what fits, and no change to those who may only look", () => {
  expect(offerActions([entry("a.zip")], true)).toEqual(["edit", "download", "extract", "rename", "move", "copy", "compress", "rights", "checksum", "delete"]);
  expect(offerActions([entry("a.zip")], false)).toEqual(["edit", "download", "checksum"]);
  expect(offerActions([entry("a"), entry("d", { kind: "dir" })], true)).toEqual(["download", "move", "compress", "delete"]);
  expect(offerActions([entry("s", { kind: "other" })], true)).not.toContain("download");
});

it("warns of the disk by bytes, or by files where those end first", () => {
  expect(describeRoom({ totalBytes: 100, freeBytes: 50, totalFiles: null, freeFiles: null })).toMatchObject({ percent: 50, tone: "quiet", warning: null });
  expect(describeRoom({ totalBytes: 100, freeBytes: 5, totalFiles: null, freeFiles: null }).tone).toBe("warn");
  const files = describeRoom({ totalBytes: 100, freeBytes: 50, totalFiles: 1000, freeFiles: 10 });
  expect(files.tone).toBe("bad");
  expect(files.warning).toContain("room for 10 more files");
  expect(describeRoom({ totalBytes: 0, freeBytes: 0, totalFiles: 0, freeFiles: 0 }).percent).toBe(0);
});

it("says why there are no files to see", () => {
  expect(findAbsence({ lifecycle: "running", connection: "online", power: "on" })).toBeNull();
  expect(findAbsence({ lifecycle: "stopped", connection: "offline", power: "off" })).toMatchObject({ title: "The container is stopped", mayStart: true });
  expect(findAbsence({ lifecycle: "running", connection: "offline", power: "on" })?.title).toBe("The agent does not answer");
});

it("tells how far work is and what it came to", () => {
  expect(describeOperation({ kind: "extract", state: "running", path: "a/world.zip" })).toBe("Extracting \u2068world.zip\u2069");
  expect(describeAmount({ state: "running", doneBytes: 1024, doneFiles: 3, totalBytes: 2048, result: null })).toBe("3 files · 1 KiB of 2 KiB");
});

describe("an open file", () => {
  const run = (start: Document, ...events: Parameters<typeof change>[1][]) => events.reduce(change, start);
  it("is clean again once what was typed is taken back", () =>
    expect(run(openDocument("1"), { type: "typed", isSame: false }, { type: "typed", isSame: true }).phase).toBe("clean"));
  it("stays changed where one typed while it was saved", () => {
    const saved = run(openDocument("1"), { type: "typed", isSame: false }, { type: "save" }, { type: "typed", isSame: false }, { type: "saved", version: "2" });
    expect(saved).toMatchObject({ phase: "changed", version: "2" });
  });
  it("never loses what was typed by itself", () => {
    const differs = run(openDocument("1"), { type: "typed", isSame: false }, { type: "save" }, { type: "differs" }, { type: "seen", version: "5" }, { type: "typed", isSame: false });
    expect(differs).toMatchObject({ phase: "differs", version: "5" });
    expect(isUnsaved(differs)).toBe(true);
    expect(isUnsaved(run(differs, { type: "reloaded", version: "5" }))).toBe(false);
  });
});

describe("what stands at a path", () => {
  const found = (bytes: Uint8Array) => judgeBytes({ bytes, version: "7" });
  it("is told by its entry where that is enough", () => {
    expect(judgeEntry(entry("socket", { kind: "other", version: "7" }))).toEqual({ kind: "other", version: "7" });
    expect(judgeEntry(entry("log", { size: MOST_BYTES + 1 }))).toMatchObject({ kind: "large", size: MOST_BYTES + 1 });
    expect(judgeEntry(entry("log", { size: MOST_BYTES }))).toBeNull();
  });
  it("is a text or none by its bytes", () => {
    expect(found(new TextEncoder().encode("a"))).toEqual({ kind: "text", text: { text: "a", lineEnd: "\n" }, version: "7" });
    expect(found(new Uint8Array([0]))).toEqual({ kind: "binary", size: 1, version: "7" });
    expect(found(new Uint8Array(MOST_BYTES + 1).fill(97))).toMatchObject({ kind: "large" });
  });
  it("can be compared with and taken only where it is a text", () =>
    expect([found(new Uint8Array()), found(new Uint8Array([0])), { kind: "large", size: 9, version: "7" } as const, { kind: "other", version: "7" } as const, { kind: "gone" } as const].map((theirs) => [theirs.kind, chooseAbout(theirs).isText, chooseAbout(theirs).overwrite])).toEqual([
      ["text", true, "Overwrite with mine"], ["binary", false, "Overwrite with mine"], ["large", false, "Overwrite with mine"], ["other", false, "Overwrite with mine"], ["gone", false, "Write it anew"],
    ]));
  it("says why it is not shown", () => expect(chooseAbout(found(new Uint8Array([0]))).meaning).toContain("It is no text now"));
});

describe("text", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  it("is UTF-8 without zero bytes", () => {
    expect(decodeText(bytes("é"))?.text).toBe("é");
    expect(decodeText(new Uint8Array([0xe9, 0x20]))).toBeNull();
    expect(decodeText(bytes("a\0b"))).toBeNull();
  });
  it("keeps its mark of byte order", () => expect(decodeText(bytes("\ufeffa"))?.text).toBe("\ufeffa"));
  it.each([["a\nb", "\n"], ["a\r\nb\r\n", "\r\n"], ["a\r\nb\n", null], ["a\rb", null], ["", "\n"]])("%j ends its lines with %j", (text, end) => expect(decodeText(bytes(text))?.lineEnd).toBe(end));
});

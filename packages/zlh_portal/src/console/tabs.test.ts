import { describe, expect, it } from "vitest";
import { labelTab, listTabs, MAIN } from "./tabs";

describe("listTabs", () => {
  it("has the main one first, listed or not", () => {
    expect(listTabs(["t1", MAIN, "t2"], MAIN, MAIN)).toEqual([MAIN, "t1", "t2"]);
    expect(listTabs([], MAIN, MAIN)).toEqual([MAIN]);
  });
  it("believes an address until the list is known, and not afterwards", () => {
    expect(listTabs(undefined, "t1", MAIN)).toEqual([MAIN, "t1"]);
    expect(listTabs([MAIN], "t1", MAIN)).toEqual([MAIN]);
  });
  it("keeps one that was there for as long as it is shown", () => {
    expect(listTabs([MAIN], "t1", "t1")).toEqual([MAIN, "t1"]);
    expect(listTabs([MAIN], MAIN, "t1")).toEqual([MAIN]);
  });
  it.each(["..", "a/b", ""])("believes no address that names %j", (chosen) => expect(listTabs(undefined, chosen, MAIN)).toEqual([MAIN]));
});

it("calls the console of a game server what it is", () => {
  const ids = [MAIN, "t1", "t2"];
  expect(ids.map((id) => labelTab(id, ids, "dev"))).toEqual(["Main", "Terminal 2", "Terminal 3"]);
  expect(ids.map((id) => labelTab(id, ids, "game"))).toEqual(["Server console", "Terminal 1", "Terminal 2"]);
});

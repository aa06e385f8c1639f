import { describe, expect, it } from "vitest";
import { findBindings, nameKeys, PAIR_MS, type Pending, type Place, type Press, takePress } from "./keys";

const groups = findBindings({ vmid: 101, isOperator: true });

function press(key: string, more: Partial<Press> = {}): Press {
  return { key, hasCommand: false, hasAlt: false, place: "page", at: 0, ...more };
}

function type(...presses: Press[]) {
  let pending: Pending | null = null;
  return presses.map((one) => {
    const step = takePress(pending, one, groups);
    pending = step.pending;
    return step.act;
  });
}

describe("takePress", () => {
  it("takes single keys on a page", () => expect(type(press("?"), press("/"), press("c"))).toEqual(["help", "filter", { go: "/containers/new" }]));
  it("takes pairs", () => expect(type(press("g"), press("c"))).toEqual([null, { go: "/" }]));
  it("means the container of the page", () => expect(type(press("g"), press("t"))).toEqual([null, { go: "/containers/101/terminal" }]));
  it("forgets the first key of a pair that is not gone on with", () =>
    expect(type(press("g"), press("c", { at: PAIR_MS + 1 }))).toEqual([null, { go: "/containers/new" }]));
  it("does nothing for a pair that means nothing, and begins anew", () => expect(type(press("g"), press("x"), press("?"))).toEqual([null, null, "help"]));
  it.each<Place>(["field", "program", "dialog"])("leaves letters to a %s", (place) => expect(type(press("c", { place }), press("g", { place }), press("c", { place }))).toEqual([null, null, null]));
  it("breaks a pair off by a press elsewhere", () => expect(type(press("g"), press("x", { place: "field" }), press("k"))).toEqual([null, null, null]));
  it.each<[Place, boolean]>([["page", true], ["field", true], ["program", false], ["dialog", false]])("opens the palette from a %s: %s", (place, opens) =>
    expect(type(press("k", { hasCommand: true, place }))).toEqual([opens ? "palette" : null]));
  it("leaves the browser its own keys", () => expect(type(press("c", { hasCommand: true }), press("?", { hasAlt: true }))).toEqual([null, null]));
  it("goes nowhere of operators for others", () => expect(takePress({ key: "g", at: 0 }, press("p"), findBindings({ vmid: null, isOperator: false })).act).toBeNull());
});

describe("findBindings", () => {
  it.each([null, 101])("has each keys once (%s)", (vmid) => {
    const keys = findBindings({ vmid, isOperator: true }).flatMap((group) => group.bindings.map((binding) => binding.keys));
    expect(new Set(keys).size).toBe(keys.length);
  });
  it("has no single key that begins a pair", () => {
    const keys = groups.flatMap((group) => group.bindings.map((binding) => binding.keys));
    expect(keys.filter((one) => keys.some((other) => other.startsWith(`${one} `)))).toEqual([]);
  });
});

describe("nameKeys", () => {
  it("names them as they are printed on the keyboard", () => {
    expect(nameKeys("mod+k", true)).toEqual(["⌘ K"]);
    expect(nameKeys("mod+k", false)).toEqual(["Ctrl K"]);
    expect(nameKeys("g c", false)).toEqual(["g", "c"]);
  });
});

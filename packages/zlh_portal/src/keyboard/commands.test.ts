import { describe, expect, it } from "vitest";
import { sampleStatus } from "../containers/sample";
import { sampleMe } from "../session/sample";
import { actsFor, containersAsCommands, OF_THE_PORTAL, pagesFor, rank, SHOWN } from "./commands";

const ALL = { change: true, power: true, console: true };

describe("rank", () => {
  const commands = containersAsCommands([
    sampleStatus({ vmid: 101, name: "api" }), sampleStatus({ vmid: 102, name: "web-api" }), sampleStatus({ vmid: 103, name: "shop", hostname: "dev-103.example.com" }),
  ]);
  const goals = (search: string) => rank(commands, search).map(({ deed }) => deed);

  it("has those first whose name begins so", () => expect(goals("api")).toEqual([{ go: "/containers/101" }, { go: "/containers/102" }]));
  it("finds by number and by host", () => {
    expect(goals("102")).toEqual([{ go: "/containers/102" }]);
    expect(goals("dev-103")).toEqual([{ go: "/containers/103" }]);
  });
  it("wants every word", () => expect(goals("web shop")).toEqual([]));
  it("shows no more than can be read", () => {
    const many = containersAsCommands(Array.from({ length: 10_000 }, (_, at) => sampleStatus({ vmid: at + 100, name: `c${at}` })));
    expect(rank(many, "c").length).toBe(SHOWN);
    expect(rank(many, "").length).toBe(SHOWN);
  });
});

describe("pagesFor", () => {
  it("shows the platform to operators alone", () => {
    expect(pagesFor(sampleMe({ permissions: ["platform:view"] })).some(({ group }) => group === "Platform")).toBe(true);
    expect(pagesFor(sampleMe({ permissions: [] })).some(({ group }) => group === "Platform")).toBe(false);
  });
  it("finds a page by its name and by what is done there", () => {
    const pages = pagesFor(sampleMe({ permissions: ["platform:view"] }));
    for (const search of ["catalog platform", "promote"]) expect(rank(pages, search)[0]?.deed).toEqual({ go: "/platform/catalog" });
  });
});

describe("actsFor", () => {
  const labels = (...given: Parameters<typeof actsFor>) => actsFor(...given).map(({ label }) => label);
  it("offers what makes sense now", () => {
    expect(labels(sampleStatus({ power: "on" }), ALL)).toContain("Stop");
    expect(labels(sampleStatus({ power: "on" }), ALL)).not.toContain("Start");
  });
  it("offers no more than one may", () => expect(labels(sampleStatus(), { ...ALL, power: false })).not.toContain("Stop"));
  it("leads to the mods of a server that takes any, by the game's word and by ours", () => {
    const game = sampleStatus({ kind: "game", vmid: 101 });
    const found = rank(actsFor(game, ALL, { folder: "plugins", loaders: ["paper"], title: "plugins" }), "mods");
    expect(found.map(({ label, deed }) => [label, deed])).toEqual([["Plugins", { go: "/containers/101/mods" }]]);
    expect(labels(game, ALL, null)).not.toContain("Mods");
  });
  it("opens what has an address alone", () => {
    expect(labels(sampleStatus({ url: null }), ALL)).not.toContain("Open in a new tab");
    expect(labels(sampleStatus({ url: "https://dev-101.example.com" }), ALL)).toContain("Open in a new tab");
  });
});

it("has every command once", () => {
  const all = [...pagesFor(sampleMe({ permissions: ["platform:view"] })), ...actsFor(sampleStatus({ url: "https://x.example" }), ALL), ...OF_THE_PORTAL];
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
});

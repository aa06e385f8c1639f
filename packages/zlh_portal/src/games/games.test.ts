import { describe, expect, it } from "vitest";
import type { GameVariable } from "../api/types";
import { beginGame, complainAboutGame, wishOfGame } from "./choice";
import { asksAgreement, beginningVersion, describeMemory, describeVersion } from "./offers";
import { sampleOffer, VARIABLES } from "./sample";
import { changedValues, complainAbout, describeRange, fieldOf, fillValues } from "./variables";

function variable(name: string): GameVariable {
  const found = VARIABLES.find((each) => each.name === name);
  if (!found) throw new Error(name);
  return found;
}

describe("variables", () => {
  it("begin with what is known, else with the template's defaults", () => {
    expect(fillValues(VARIABLES)).toEqual({ motd: "A server", max_players: 10, world: "flat", online_mode: true });
    expect(fillValues(VARIABLES, { max_players: 40, gone: "x" })).toEqual({ motd: "A server", max_players: 40, world: "flat", online_mode: true });
  });

  it("are sent where they differ, and a switch that is off differs from one that is on", () => {
    const before = fillValues(VARIABLES);
    expect(changedValues(VARIABLES, before, before)).toEqual({});
    expect(changedValues(VARIABLES, before, { ...before, online_mode: false, world: "hills" })).toEqual({ online_mode: false, world: "hills" });
  });

  it("of a name that every object has are not taken from there", () => {
    const odd: GameVariable = { kind: "text", name: "constructor", title: "Odd", description: "", default: "d", maxLength: 9, pattern: null };
    expect(fillValues([odd])).toEqual({ constructor: "d" });
  });

  it.each([
    ["max_players", 1, true], ["max_players", 100, true], ["max_players", 0, false], ["max_players", 101, false], ["max_players", 1.5, false], ["max_players", "", false],
    ["motd", "Come in", true], ["motd", "x".repeat(21), false], ["motd", "🎮".repeat(20), true], ["motd", "two\nlines", false],
    ["world", "hills", true], ["world", "moon", false], ["online_mode", false, true],
  ])("%s may or may not be %j", (name, value, isRight) => {
    expect(complainAbout(variable(name), value) === null).toBe(isRight);
  });

  it("with a pattern are matched as a whole, and one that cannot be read is left to the API", () => {
    const seed: GameVariable = { kind: "text", name: "seed", title: "Seed", description: "", default: "", maxLength: 20, pattern: "[0-9]+|none" };
    expect(complainAbout(seed, "12")).toBeNull();
    expect(complainAbout(seed, "12 and more")).not.toBeNull();
    expect(complainAbout({ ...seed, pattern: "(?P<x>a)" }, "b")).toBeNull();
  });

  it("say their range, and are named as the API names them in a refusal", () => {
    expect(describeRange(variable("max_players"))).toBe("From 1 to 100.");
    expect(fieldOf("motd")).toBe("variables.motd");
  });
});

describe("a choice", () => {
  it("begins with the default version, and sends only what is not the template's own", () => {
    const offer = sampleOffer();
    const begun = beginGame(offer);
    expect(wishOfGame(begun, offer)).toEqual({ template: "squid", version: "1.12.0", variables: {}, acceptEula: false });
    expect(wishOfGame({ ...begun, variables: { ...begun.variables, max_players: 12 } }, offer).variables).toEqual({ max_players: 12 });
  });

  it("agrees only to what is asked", () => {
    const eula = { title: "Terms", url: "https://example.com/eula" };
    expect(wishOfGame({ ...beginGame(sampleOffer()), agrees: true }, sampleOffer()).acceptEula).toBe(false);
    expect(wishOfGame({ ...beginGame(sampleOffer()), agrees: true }, sampleOffer({ eula })).acceptEula).toBe(true);
  });

  it("with a wrong value is held back at its field", () => {
    const offer = sampleOffer();
    expect(Object.keys(complainAboutGame({ ...beginGame(offer), variables: { ...fillValues(VARIABLES), max_players: "" } }, offer))).toEqual(["max_players"]);
  });
});

describe("an offer", () => {
  it("without a default begins with its newest release", () => {
    const versions = sampleOffer().versions.map((entry) => ({ ...entry, default: false }));
    expect(beginningVersion(sampleOffer({ versions }))).toBe("1.12.0");
    expect(beginningVersion(sampleOffer({ versions: [] }))).toBeNull();
  });

  it("says what is special about a version", () => {
    expect(sampleOffer().versions.map(describeVersion)).toEqual(["2.0.0-rc1 (candidate)", "1.12.0 (default, for 1.21.4)"]);
  });

  it("says whether the memory is enough", () => {
    expect(describeMemory(sampleOffer(), 256)).toMatchObject({ isTooLittle: true });
    expect(describeMemory(sampleOffer(), 512)).toMatchObject({ isTooLittle: false });
    expect(describeMemory(sampleOffer(), 256).text).toContain("512 MiB");
  });

  it("asks for an agreement once, and anew for another text", () => {
    const eula = { title: "Terms", url: "https://example.com/eula" };
    expect(asksAgreement(null, null)).toBeNull();
    expect(asksAgreement(eula, null)).toBe(eula);
    expect(asksAgreement(eula, { ...eula })).toBeNull();
    expect(asksAgreement(eula, { ...eula, url: "https://example.com/old" })).toBe(eula);
  });
});

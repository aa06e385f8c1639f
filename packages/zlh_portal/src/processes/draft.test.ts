import { describe, expect, it } from "vitest";
import { ApiError, parseProblem } from "../api/problem";
import type { ProcessPolicy } from "../api/types";
import { DEFAULT_POLICY, draftOf, knowsValues, newDraft, placeRefusal, readDraft, type Draft } from "./draft";
import { sampleProcess } from "./sample";

const filled = (more: Partial<Draft> = {}) => newDraft({ name: "web", command: "node server.js", ...more });
const problems = (more: Partial<Draft>) => readDraft(filled(more), ["taken"]).problems;

it("makes a definition with the defaults of the API out of a name and a command", () => {
  const { wish, problems: found } = readDraft(filled(), []);
  expect(found).toEqual({});
  expect(wish).toEqual({ argv: ["node", "server.js"], folder: null, environment: {}, power: null, policy: DEFAULT_POLICY });
});

it.each<ProcessPolicy["ready"]["probe"]>([
  null, { kind: "tcp", port: 80 }, { kind: "http", port: 80, path: "/up" }, { kind: "log", pattern: "Done*" }, { kind: "minecraft", port: 25565 },
  { kind: "line", pattern: "Done ({text})", ping: 25565 },
])("reads back what it shows, with the probe %j", (probe) => {
  const policy: ProcessPolicy = {
    restart: { when: "always", delaysS: [0.5, 2], stableS: 10, successCodes: [0, 143] },
    stop: { command: "stop", commandGraceS: 60, signal: "SIGINT", graceS: 5 },
    ready: { probe, graceS: 30, onSlow: "restart" },
    hang: probe && probe.kind !== "log" ? { action: "restart", afterS: 20 } : null,
    ports: [80, 443],
  };
  const process = sampleProcess({ argv: ["sh", "-c", "echo 'a b'"], folder: "srv/x", environment: { A: " b ", EMPTY: "" }, policy });
  const { wish, problems: found } = readDraft(draftOf(process), []);
  expect(found).toEqual({});
  expect(wish).toEqual({ argv: process.argv, folder: "srv/x", environment: process.environment, power: null, policy });
  expect([knowsValues(process), knowsValues(sampleProcess({ environment: { A: "", B: null } }))]).toEqual([true, false]);
});

describe("pauses and success codes", () => {
  const restartOf = (more: Partial<Draft>) => readDraft(filled(more), []).wish.policy.restart;
  it("are the default where nothing is written, as the field shows it", () => expect(restartOf({ delays: " ", successCodes: "" })).toEqual(DEFAULT_POLICY.restart));
  it("are none where that is written, and read so of a definition that has none", () => {
    expect(restartOf({ delays: "None", successCodes: "none" })).toMatchObject({ delaysS: [], successCodes: [] });
    const restart = { ...DEFAULT_POLICY.restart, delaysS: [], successCodes: [] };
    expect(restartOf(draftOf(sampleProcess({ policy: { ...DEFAULT_POLICY, restart } })))).toEqual(restart);
  });
});
it("keeps every line of a command and of a value", () => {
  const process = sampleProcess({ argv: ["sh", "-c", "echo a\necho b\n"], environment: { KEY: "-----BEGIN\nabc\n" } });
  expect(readDraft(draftOf(process), []).wish).toMatchObject({ argv: process.argv, environment: process.environment });
});
it("leaves out rows of variables that nobody has filled", () =>
  expect(readDraft(filled({ variables: [{ name: "", value: "" }] }), []).wish.environment).toEqual({}));

describe("says at the field what is wrong", () => {
  it.each<[Partial<Draft>, keyof Draft]>([
    [{ name: "" }, "name"], [{ name: "Web" }, "name"], [{ name: "taken" }, "name"], [{ name: "a".repeat(33) }, "name"],
    [{ command: "" }, "command"], [{ command: "'" }, "command"], [{ command: "'' a" }, "command"],
    [{ folder: "/etc" }, "folder"], [{ folder: "a/../b" }, "folder"],
    [{ variables: [{ name: "1A", value: "" }] }, "variables"], [{ variables: [{ name: "", value: "x" }] }, "variables"],
    [{ variables: [{ name: "A", value: "1" }, { name: "A", value: "2" }] }, "variables"],
    [{ delays: "1, -2" }, "delays"], [{ delays: "1e9" }, "delays"], [{ delays: "1 ".repeat(17) }, "delays"], [{ stable: "" }, "stable"],
    [{ stable: "1 2" }, "stable"], [{ successCodes: "256" }, "successCodes"], [{ ports: "80.5" }, "ports"], [{ ports: "70000" }, "ports"],
    [{ probe: "tcp" }, "probePort"], [{ probe: "http", probePort: "80", probePath: "up" }, "probePath"], [{ probe: "log" }, "probePattern"],
    [{ hang: "restart" }, "hang"], [{ probe: "log", probePattern: "x", hang: "report" }, "hang"], [{ hang: "report", hangAfter: "0" }, "hangAfter"],
  ])("%j", (more, field) => expect(problems(more)).toHaveProperty(field));
});

describe("what is too much", () => {
  const problemsOf = (more: Partial<Draft>) => readDraft(newDraft({ name: "web", command: "a", ...more }), []).problems;
  it("is counted as the API counts it", () => {
    // The program, a space, and one more for the end.
    expect(problemsOf({ command: `a ${"b".repeat(8189)}` })).toEqual({});
    expect(problemsOf({ command: `a ${"b".repeat(8190)}` })).toEqual({ command: "The command has 8192 characters at most; this has 8193." });
    expect(problemsOf({ command: `a ${"🦄".repeat(8189)}` })).toEqual({});
    expect(problemsOf({ command: "a ".repeat(256) })).toEqual({});
    expect(problemsOf({ command: "a ".repeat(257) })).toEqual({ command: "The command has 256 words at most; this has 257." });
  });
  it("is told of the environment too", () => {
    const many = (count: number) => Array.from({ length: count }, (_, at) => ({ name: `A${at}`, value: "x" }));
    expect(problemsOf({ variables: many(256) })).toEqual({});
    expect(problemsOf({ variables: many(257) })).toEqual({ variables: "There are 256 variables at most; these are 257." });
    expect(problemsOf({ variables: [{ name: "A", value: "x".repeat(8192) }] })).toEqual({});
    expect(problemsOf({ variables: [{ name: "A", value: "x".repeat(8193) }] })).toEqual({ variables: "All values together have 8192 characters at most; these have 8193." });
  });
});

describe("placeRefusal", () => {
  const refusal = (code: string, detail: string) => placeRefusal(parseProblem(400, { code, detail }));
  const body = (what: string) => `The body is not what this call takes: ${what}.`;
  it.each([
    ["Expected `float` >= 0.0 - at `$.policy.restart.delaysS[0]`", "delays", "It is 0.0 at least."], ["Expected `int` <= 65535 - at `$.policy.ports[0]`", "ports", "It is 65535 at most."],
    ["Expected `int` >= 1 - at `$.policy.ready.probe.port`", "probePort", "It is 1 at least."],
    ["the first of argv is the program, and it is empty", "command", "The first word is the program, and it is empty."],
    ["argv has more than 8192 characters", "command", "The command has 8192 characters at most."],
    ["folder is relative to the workspace and does not lead out of it", "folder", "The folder is relative to the workspace and does not lead out of it."],
    ["environment has more than 256 variables or 8192 characters", "variables", "There are 256 variables at most, with 8192 characters in all values together."],
    ["'1 a' is no name of a variable", "variables", "'1 a' is no name of a variable."],
    ["the pattern of the probe: a gap is not closed", "probePattern", "This cannot be sought: a gap is not closed."],
  ])("puts %j at %s, in words of the form", (detail, field, said) => expect(refusal("invalid_body", body(detail))).toEqual({ problems: { [field]: said }, rest: null }));
  it("puts a name that is refused at the name", () => expect(refusal("process_name_invalid", "No.").problems).toEqual({ name: "No." }));
  it("leaves the rest to the form", () => {
    expect(refusal("process_limit", "Too many.")).toEqual({ problems: {}, rest: "Too many." });
    expect(refusal("invalid_body", body("a NUL character cannot be part of argv, folder or environment")).rest).toBe("A NUL character cannot be part of the command, the folder or the environment.");
    expect(placeRefusal(new ApiError("x", 500, "argv broke")).rest).toBe("argv broke");
  });
});

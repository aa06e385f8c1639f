import { describe, expect, it } from "vitest";
import { ApiError, parseProblem } from "../api/problem";
import type { ProcessPolicy } from "../api/types";
import { DEFAULT_POLICY, draftOf, newDraft, placeRefusal, readDraft, type Draft } from "./draft";
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
});

it("gives up at once where no pause is named", () => expect(readDraft(filled({ delays: "" }), []).wish.policy.restart.delaysS).toEqual([]));
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

describe("placeRefusal", () => {
  const refusal = (code: string, detail: string) => placeRefusal(parseProblem(400, { code, detail }));
  it.each([
    ["Expected `float` >= 0.0 - at `$.policy.restart.delaysS[0]`.", "delays"], ["Expected `int` <= 65535 - at `$.policy.ports[0]`.", "ports"],
    ["Expected `int` >= 1 - at `$.policy.ready.probe.port`.", "probePort"],
    ["The body is not what this call takes: the first of argv is the program, and it is empty.", "command"],
    ["The body is not what this call takes: folder is relative to the workspace.", "folder"],
    ["The body is not what this call takes: '1a' is no name of a variable.", "variables"],
  ])("puts %j at %s", (detail, field) => expect(refusal("invalid_body", detail)).toEqual({ problems: { [field]: detail }, rest: null }));
  it("puts a name that is refused at the name", () => expect(refusal("process_name_invalid", "No.").problems).toEqual({ name: "No." }));
  it("leaves the rest to the form", () => {
    expect(refusal("process_limit", "Too many.")).toEqual({ problems: {}, rest: "Too many." });
    expect(refusal("invalid_body", "a NUL character cannot be part of argv, folder or environment.").rest).not.toBeNull();
    expect(placeRefusal(new ApiError("x", 500, "argv broke")).rest).toBe("argv broke");
  });
});

import { describe, expect, it } from "vitest";
import type { Rollout } from "../api/types";
import { countFailed, countStates, describeMember, describeRollout, MEMBER_STATES, movesOf, nameWave, offeredVersions, parseVmids, tellUnable } from "./agents";

function sampleRollout(changes: Partial<Rollout> = {}): Rollout {
  return {
    id: "r", version: "0.10.0", state: "running", reason: null, wave: 0, soakMinutes: 30, atOnce: 20, failuresAllowed: 3, failurePercentAllowed: 2,
    startedBy: "a@example.org", createdAt: "2026-01-01T00:00:00Z", finishedAt: null, nextWaveAt: null,
    waves: [{ share: null, containers: 1, counts: { updated: 1 } }, { share: 100, containers: 3, counts: { waiting: 2, failed: 1 } }],
    ...changes,
  };
}

describe("movesOf", () => {
  const moves = (state: Rollout["state"], isClean = false) =>
    movesOf(sampleRollout({ state, ...(isClean ? { waves: [] } : {}) })).map(({ move }) => move);

  it("offers what the API takes", () => {
    expect(moves("running", true)).toEqual(["pause", "cancel"]);
    expect(moves("halted")).toEqual(["resume", "retry", "cancel"]);
    expect(moves("paused", true)).toEqual(["resume", "cancel"]);
    expect(moves("done", true)).toEqual(["pause", "cancel"]);
    expect(moves("done")).toEqual(["pause", "retry", "cancel"]);
  });

  it("offers nothing of what is over", () => {
    expect(moves("cancelled")).toEqual([]);
    expect(moves("superseded")).toEqual([]);
  });
});

it("counts what has failed in all waves", () => expect(countFailed(sampleRollout())).toBe(1));
it("names waves by how much of all is told", () => expect([nameWave(sampleRollout(), 0), nameWave(sampleRollout(), 1)]).toEqual(["First containers", "Up to 100 %"]));
it("counts those first that are furthest", () => expect(countStates({ waiting: 2, updated: 5, failed: 1 })).toBe("5 updated, 1 failed, 2 waiting"));
it("says that a wave has nobody", () => expect(countStates({})).toBe("nobody"));
it("keeps the word of a state that only a newer API knows", () => {
  expect(describeMember("dancing").label).toBe("dancing");
  expect(describeRollout(sampleRollout({ state: "dancing" as "done" })).label).toBe("dancing");
  expect(countStates({ dancing: 1, updated: 1 })).toBe("1 updated, 1 dancing");
});
it("explains each state", () => expect(MEMBER_STATES.filter((state) => describeMember(state).meaning === "")).toEqual([]));
it("offers the default first", () => {
  const offers = [{ version: "2", channel: "stable" as const, default: false }, { version: "1", channel: "stable" as const, default: true }];
  expect(offeredVersions({ offers, versions: [], containers: [], protocolNeeded: 10 })).toEqual(["1", "2"]);
});

describe("parseVmids", () => {
  it("takes numbers in any order, each once", () => expect(parseVmids(" 101, 102\n101 ")).toEqual([101, 102]));
  it("takes nothing for nobody", () => expect(parseVmids("  ")).toEqual([]));
  it.each(["x", "0", "1e3", "-1", "101;102", "1234567890"])("refuses %j", (text) => expect(parseVmids(text)).toBeNull());
});

describe("tellUnable", () => {
  it("has nothing to say where every agent can be told", () => expect(tellUnable({ tooOld: 0, fixed: 0 })).toEqual([]));
  it("tells those whose code stays as it is from those that are old", () => {
    expect(tellUnable({ tooOld: 0, fixed: 1 })).toEqual([expect.stringMatching(/^1 was started from code that no roll-out replaces/)]);
    expect(tellUnable({ tooOld: 2, fixed: 3 })).toEqual([expect.stringMatching(/^3 were started/), expect.stringMatching(/^2 are too old to be told/)]);
  });
});

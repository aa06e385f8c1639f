import { describe, expect, it } from "vitest";
import { sampleProcess, sampleStatus } from "./sample";
import { describeEnd, describeState, findCrashed, findDeadline, findTroubled, joinReport, labelOf, offerActions, pageOf, tellCrash } from "./states";

const at = (power: "on" | "off", state: Parameters<typeof sampleStatus>[0], more = {}) => ({ power, status: sampleStatus(state, more) });

describe("describeState", () => {
  it("is only green when it is ready and nothing is wrong", () => {
    expect(describeState(at("on", "running", { ready: true })).tone).toBe("good");
    expect(describeState(at("on", "running")).tone).toBe("warn");
    const reason = { code: "not_answering", message: "Port 80 does not answer." };
    expect(describeState(at("on", "running", { ready: true, reason }))).toMatchObject({ tone: "warn", meaning: "Port 80 does not answer." });
  });
  it("tells a wish that the agent has not taken up yet", () => {
    expect(describeState(at("on", "stopped")).label).toBe("Start asked");
    expect(describeState(at("off", "running")).label).toBe("Stop asked");
  });
  it("calls a finished process stopped though it is switched on", () => {
    expect(describeState(at("on", "stopped", { reason: { code: "finished", message: "" } })).label).toBe("Stopped");
  });
  it("claims nothing of a process that nobody reports", () => {
    expect(describeState({ power: "on", status: null }).label).toBe("Not seen");
    expect(describeState({ power: "off", status: null }).label).toBe("Switched off");
  });
});

describe("pageOf", () => {
  const web = sampleStatus("running");
  it("leads to the page of a process", () => expect(pageOf(web, { vmid: 7, kind: "game" })).toBe("/containers/7/processes/web"));
  it("leads to the console of the container for the server of a game, which has no page", () => {
    expect(pageOf({ ...web, name: "server" }, { vmid: 7, kind: "game" })).toBe("/containers/7/terminal");
    expect(pageOf({ ...web, name: "server" }, { vmid: 7, kind: "dev" })).toBe("/containers/7/processes/server");
  });
});

describe("describeEnd", () => {
  const end = (more: object) => describeEnd(sampleStatus("stopped", { exitedAt: "2026-01-01T00:00:00Z", ...more }));
  it("tells code, signal and memory apart", () => {
    expect(end({ exitCode: 3 })).toBe("Ended with exit code 3");
    expect(end({ exitCode: 0 })).toContain("success");
    expect(end({ signal: "SIGTERM" })).toBe("Ended by SIGTERM");
    expect(end({ signal: "SIGKILL", outOfMemory: true })).toContain("memory");
    expect(end({})).toBe("Ended while nobody watched");
  });
  it("says nothing of one that never ended", () => expect(end({ exitedAt: null })).toBeNull());
});

describe("findDeadline", () => {
  it("counts down to the kill and to the restart", () => {
    const killed = findDeadline(sampleStatus("stopping", { killAt: "2026-01-01T00:00:10Z" }));
    expect(killed?.tell(killed.atMs - 8_200)).toBe("Killed in 9 s unless it ends before");
    expect(killed?.tell(killed.atMs + 1)).toBe("It is being killed");
    const next = findDeadline(sampleStatus("backoff", { nextRestartAt: "2026-01-01T00:00:30Z" }));
    expect(next?.tell(next.atMs - 1_000)).toBe("Starts again in 1 s");
  });
  it("knows none where there is none, or where it is nonsense", () => {
    expect(findDeadline(null)).toBeNull();
    expect(findDeadline(sampleStatus("running", { killAt: "2026-01-01T00:00:10Z" }))).toBeNull();
    expect(findDeadline(sampleStatus("backoff", { nextRestartAt: "soon" }))).toBeNull();
  });
});

it.each([
  ["on", "starting", ["restart", "stop", "kill"]], ["on", "running", ["restart", "stop", "kill"]], ["off", "running", ["kill"]],
  ["off", "stopping", ["kill"]], ["on", "stopping", ["stop", "kill"]], ["on", "backoff", ["retry", "give-up", "stop"]],
  ["on", "error", ["retry", "stop"]], ["off", "error", ["start"]], ["off", "stopped", ["start"]], ["on", "stopped", ["stop"]],
] as const)("offers for %s and %s: %j", (power, state, actions) => expect(offerActions(at(power, state))).toEqual(actions));
it("offers the opposite of the wish where nothing is seen", () => {
  expect(offerActions({ power: "on", status: null })).toEqual(["stop"]);
  expect(offerActions({ power: "off", status: null })).toEqual(["start"]);
});

it("does not speak of stopping what is down", () => {
  expect([labelOf("stop", sampleStatus("running")), labelOf("stop", sampleStatus("backoff")), labelOf("stop", null)]).toEqual(["Stop", "Switch off", "Switch off"]);
  expect([labelOf("start", sampleStatus("stopped")), labelOf("start", null)]).toEqual(["Start", "Switch on"]);
});

describe("trouble", () => {
  const crashed = (name: string, exitedAt: string, more = {}) => sampleStatus("backoff", { name, exitedAt, ...more });
  it("is what waits or was given up", () => {
    const all = [sampleStatus("running"), sampleStatus("backoff", { name: "a" }), sampleStatus("error", { name: "b" }), sampleStatus("stopped")];
    expect(findTroubled(all).map(({ name }) => name)).toEqual(["a", "b"]);
  });
  it("is news once for each end", () => {
    const running = [sampleStatus("running")];
    const once = [crashed("web", "t1")];
    expect(findCrashed(running, once)).toHaveLength(1);
    expect(findCrashed(once, once)).toHaveLength(0);
    expect(findCrashed(once, [crashed("web", "t2")])).toHaveLength(1);
  });
  it("is no news where one has just begun to look, or where somebody gave it up", () => {
    expect(findCrashed([], [crashed("web", "t1")])).toHaveLength(0);
    const reason = { code: "given_up", message: "" };
    expect(findCrashed([crashed("web", "t1")], [sampleStatus("error", { exitedAt: "t2", reason })])).toHaveLength(0);
  });
});

it("tells of a crash in its agent's words, and lets them turn round nothing that is ours, hide nothing and not be without end", () => {
  const reason = { code: "exited", message: `a\u202eb${"c".repeat(500)}` };
  const { title, message } = tellCrash(sampleStatus("error", { name: "\u202eexe.gpj", reason }));
  expect(title).toBe("\u2068\\u202Eexe.gpj\u2069 has crashed");
  expect(message).toMatch(/^a\\u202Ebc+…$/);
  expect(message.length).toBeLessThan(300);
  expect(tellCrash(sampleStatus("error")).title).toBe("web has crashed");
});

it("takes the newest report, and nothing of it while nobody hears the agent", () => {
  const declared = [sampleProcess({ status: sampleStatus("running") }), sampleProcess({ name: "other" })];
  expect(joinReport(declared, [sampleStatus("error")]).map(({ status }) => status?.state)).toEqual(["error", undefined]);
  expect(joinReport(declared, null)[0]?.status).toBeNull();
});

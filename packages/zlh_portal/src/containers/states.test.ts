import { describe, expect, it } from "vitest";
import { sampleStatus as sampleProcess } from "../processes/sample";
import { countGroups, filterContainers } from "./filter";
import { sampleStatus, sampleStep } from "./sample";
import { addressOf, describeConnection, describeLifecycle, describeRuntimes, isGuestOff, offerPower, findTroubles, sayGone, tellFixed, whyNoPower } from "./states";

describe("the two axes", () => {
  it("does not call a stopped container unreachable", () => {
    expect(describeConnection({ lifecycle: "stopped", connection: "offline", observedAt: null }).tone).toBe("quiet");
  });
  it("calls a running container unreachable when its agent is silent", () => {
    expect(describeConnection({ lifecycle: "running", connection: "offline", observedAt: null })).toMatchObject({ label: "Not reachable", tone: "bad" });
  });
  it("is only green when the whole chain is proved", () => {
    expect(describeLifecycle({ lifecycle: "running", ready: false }).tone).toBe("warn");
    expect(describeLifecycle({ lifecycle: "running", ready: true }).tone).toBe("good");
  });
  it("says of one that was proved and cannot be reached any more that it is so", () => {
    expect(describeLifecycle({ lifecycle: "running", ready: false, degraded: ["name_not_answering"] }).meaning).toMatch(/any more/);
    expect(describeLifecycle({ lifecycle: "running", ready: false, degraded: ["agent_offline"] }).meaning).not.toMatch(/any more/);
  });
  it("tells whom a suspension holds off from whom somebody has stopped", () => {
    expect(describeLifecycle(sampleStatus({ lifecycle: "stopped", suspended: true })).label).toBe("Suspended");
    expect(describeLifecycle(sampleStatus({ lifecycle: "stopped", suspended: false })).label).toBe("Stopped");
    // Until it is off, what it does is more than why.
    expect(describeLifecycle(sampleStatus({ lifecycle: "stopping", suspended: true })).label).toBe("Stopping");
  });
});

describe("addressOf", () => {
  const game = { address: "game-1.example.net:25500" } as NonNullable<ReturnType<typeof sampleStatus>["game"]>;
  it("gives players theirs", () => expect(addressOf(sampleStatus({ game, url: "https://game-1.example.net" }))).toEqual({ address: game.address, isOpen: true }));
  it("has nothing to open before the route is there", () => expect(addressOf(sampleStatus({ game: null, url: null, hostname: "dev-1.example.net" }))).toEqual({ address: "dev-1.example.net", isOpen: false }));
});

describe("offerPower", () => {
  it("offers the opposite of what is wanted", () => {
    expect(offerPower(sampleStatus({ power: "on" }))).toEqual({ start: false, stop: true, restart: true, kill: true });
    expect(offerPower(sampleStatus({ power: "off", lifecycle: "stopped" }))).toEqual({ start: true, stop: false, restart: false, kill: false });
  });
  it("can kill what takes its time to stop", () =>
    expect(offerPower(sampleStatus({ power: "off", lifecycle: "stopping" }))).toMatchObject({ start: true, kill: true }));
  it("says why nothing can be started while the customer is suspended", () => {
    expect(whyNoPower(sampleStatus({ suspended: true }))).toMatch(/suspended/);
    expect(whyNoPower(sampleStatus({ suspended: false }))).toBeNull();
  });
  it("offers nothing while it is being deleted", () => {
    expect(offerPower(sampleStatus({ lifecycle: "deleting" }))).toEqual({ start: false, stop: false, restart: false, kill: false });
  });
});

it("tells a guest that is off from one whose server is", () => {
  expect(isGuestOff(sampleStatus({ lifecycle: "stopped", connection: "offline" }))).toBe(true);
  expect(isGuestOff(sampleStatus({ lifecycle: "stopped", connection: "online" }))).toBe(false);
  expect(isGuestOff(sampleStatus({ lifecycle: "running", connection: "offline" }))).toBe(false);
});

it("calls no agent that was never there connecting", () => {
  expect(describeConnection({ lifecycle: "error", connection: "connecting", observedAt: null }).label).toBe("Not yet");
  expect(describeConnection({ lifecycle: "error", connection: "connecting", observedAt: "2026-01-01T00:00:00Z" }).label).toBe("Connecting");
});

describe("findTroubles", () => {
  const resizing = (state: "running" | "failed", code: string | null) => ({ degraded: ["agent_offline", "resize_pending"], steps: [sampleStep("resize-guest", state, { code })] });
  it("counts no resize that is under way", () => expect(findTroubles(resizing("running", null))).toEqual(["agent_offline"]));
  it("counts one that the host refuses", () => expect(findTroubles(resizing("failed", "guest_failed"))).toContain("resize_pending"));
});

describe("filterContainers", () => {
  const items = [
    sampleStatus({ vmid: 1, name: "shop", createdAt: "2026-01-01T00:00:00Z" }),
    sampleStatus({ vmid: 2, name: "blog", lifecycle: "stopped", createdAt: "2026-01-02T00:00:00Z" }),
    sampleStatus({ vmid: 3, name: "bot", lifecycle: "error", steps: [sampleStep("install-go", "failed")] }),
  ];
  it("shows the newest first", () => expect(filterContainers(items, "all", "").map((item) => item.vmid)).toEqual([2, 3, 1]));
  it("needs every word", () => expect(filterContainers(items, "all", "go attention").map((item) => item.vmid)).toEqual([3]));
  it("keeps to the group", () => expect(filterContainers(items, "stopped", "").map((item) => item.vmid)).toEqual([2]));
  it("counts one whose process is down as in need of attention", () =>
    expect(countGroups([sampleStatus({ processes: [sampleProcess("backoff")] })])).toMatchObject({ running: 0, attention: 1 }));
  it("counts each container once", () => expect(countGroups(items)).toEqual({ all: 3, running: 1, busy: 0, attention: 1, stopped: 1 }));
});

it("names the runtime that is still to come", () => {
  expect(describeRuntimes(sampleStatus({ steps: [sampleStep("install-node", "pending")] }))).toBe("node");
});

describe("tellFixed", () => {
  const agent = { version: "0.9.0", protocolVersion: 10, canBeUpdated: true, fixedBecause: null };
  it("says nothing of an agent that can be brought to another version", () => expect(tellFixed(agent, true)).toBe(""));
  it("says what helps where it is too old", () => expect(tellFixed({ ...agent, protocolVersion: 9, canBeUpdated: false }, true)).toContain("restart"));
  it("gives the agent's own reason", () => expect(tellFixed({ ...agent, canBeUpdated: false, fixedBecause: "It is the checkout's." }, true)).toContain("checkout"));
  it("leaves customers alone with what only operators can do", () => {
    expect(tellFixed({ ...agent, canBeUpdated: false, fixedBecause: "It is the checkout's." }, false)).toBe("");
    expect(tellFixed({ ...agent, protocolVersion: 9, canBeUpdated: false }, false)).toBe("");
  });
});

it("calls deleted what was seen to be, and nothing else", () => {
  expect(sayGone(sampleStatus({ name: "shop", lifecycle: "deleting" }))).toBe("shop is deleted.");
  expect(sayGone(sampleStatus({ name: "shop", lifecycle: "running" }))).toMatch(/^shop is gone: .*may not see it/);
});

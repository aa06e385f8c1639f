import { describe, expect, it } from "vitest";
import type { PlatformNode } from "../api/types";
import { countContainers, describeNode, explainLimits, sharesOf, sortNodes } from "./nodes";

const node = (changes: Partial<PlatformNode> = {}): PlatformNode => ({
  name: "a", state: "online", reason: null, since: "2026-01-01T00:00:00Z", isUsed: true, containers: {}, cores: 4, reservedCpu: 0, reservedMemoryMib: 0, promisedMemoryMib: null,
  memoryMib: 4096, usedMemoryMib: 1024, reservedDiskMib: 0, diskMib: 10_240, freeDiskMib: 5120, ...changes,
});

describe("a node", () => {
  it("is told by its state, and whether anything is put on it", () => {
    expect(describeNode(node()).label).toBe("Online");
    expect(describeNode(node({ isUsed: false })).label).toBe("Not used");
    expect(describeNode(node({ isUsed: false, state: "offline" })).label).toBe("Away");
  });
  it("counts its containers by what they are", () => {
    expect(countContainers(node({ containers: { stopped: 1, running: 3 } }))).toBe("3 running, 1 stopped");
    expect(countContainers(node())).toBe("no container");
  });
  it("says where more is promised than there is", () => {
    const [used, promised, disk] = sharesOf(node({ reservedMemoryMib: 6144 }));
    expect(used).toMatchObject({ label: "Memory in use", share: 0.25, tone: "busy" });
    expect(promised).toMatchObject({ text: "6 GiB of 4 GiB, more than there is", tone: "bad" });
    expect(disk?.share).toBe(0.5);
  });
  it("tells what nobody knows as not known", () => {
    expect(sharesOf(node({ memoryMib: null, usedMemoryMib: null, diskMib: null, freeDiskMib: null, reservedMemoryMib: 512 })).map(({ share, text }) => [share, text])).toEqual([[null, "512 MiB"], [null, "0 B"]]);
  });
});

describe("all nodes", () => {
  it("stand with the worst first", () => {
    expect(sortNodes([node({ name: "b" }), node(), node({ name: "c", state: "offline" })]).map(({ name }) => name)).toEqual(["c", "a", "b"]);
  });
  it("say what is a promise alone", () => {
    const nodes = { driver: "process", nodes: [], unplaced: 0, trouble: null };
    expect(explainLimits({ ...nodes, enforced: [] })).toMatch(/nothing/);
    expect(explainLimits({ ...nodes, enforced: ["cpu", "memoryMib"] })).toMatch(/not to their disk/);
    expect(explainLimits({ ...nodes, enforced: ["memoryMib", "diskMib"] })).toBeNull();
  });
});

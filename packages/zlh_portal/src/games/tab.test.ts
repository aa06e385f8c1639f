import { describe, expect, it } from "vitest";
import type { ContainerStatus, Step, TelemetryPoint } from "../api/types";
import { sampleStatus } from "../containers/sample";
import { tabsOf } from "../containers/tabs";
import { sampleStatus as sampleProcess } from "../processes/sample";
import { complainAboutLine, completeLine, describeUsage } from "./completion";
import { sampleGame } from "./sample";
import { buildGamePlots, joinPoints, rangeOf } from "./telemetry";
import { describeIncomplete, describeInstalled, describePlayers, explainBackup, explainChange, explainRestore, findEntrance, findTrouble, findWork, isStartedAnew, startOf, whyNoBackup, whyNoChange, whyNoCommand, whyNoRepair } from "./words";

const COMMANDS = [{ name: "say", usage: "<message>" }, { name: "save-all", usage: "" }, { name: "stop", usage: "" }];

describe("a line", () => {
  it("is completed while its command is typed, with a space where something follows", () => {
    expect(completeLine("sa", COMMANDS, [])).toEqual(["say ", "save-all"]);
    expect(completeLine("/SA", COMMANDS, [])).toEqual(["/say ", "/save-all"]);
    expect(completeLine("say ", COMMANDS, [])).toEqual([]);
    expect(completeLine("stop", COMMANDS, [])).toEqual([]);
  });

  it("that is empty offers earlier ones, the newest first and each once", () => {
    expect(completeLine("", COMMANDS, ["list", "say hi", "list"])).toEqual(["list", "say hi"]);
  });

  it("says how its command is used", () => {
    expect(describeUsage("/say hello", COMMANDS)).toBe("say <message>");
    expect(describeUsage("sa", COMMANDS)).toBeNull();
    expect(describeUsage("", COMMANDS)).toBeNull();
  });

  it("is one line", () => {
    expect(complainAboutLine("say hi")).toBeNull();
    expect(complainAboutLine("say \u0007")).not.toBeNull();
    expect(complainAboutLine("x".repeat(1025))).not.toBeNull();
  });
});

describe("the start of a server", () => {
  it("is told while it runs", () => {
    const server = (more: object) => startOf({ processes: [sampleProcess("running", { name: "server", startedAt: "2026-01-01T00:00:00Z", ...more })] });
    expect([server({ pid: 7 }), server({ pid: null }), startOf({ processes: [] })]).toEqual(["2026-01-01T00:00:00Z", null, null]);
  });

  it("is another one once it runs anew, and not while it is down", () => {
    expect([isStartedAnew("1", "1"), isStartedAnew("1", null), isStartedAnew("1", "2"), isStartedAnew(null, "2")]).toEqual([false, false, true, true]);
  });
});

describe("looks at a server", () => {
  const look = (atS: number, more: Partial<TelemetryPoint> = {}): TelemetryPoint => ({ at: new Date(atS * 1000).toISOString(), players: 2, latencyMs: null, ticksPerS: null, ...more });

  it("are plots of what is known, with a gap where nobody looked", () => {
    const plots = buildGamePlots([look(60), look(120), look(1000)], 40);
    expect(plots.map(({ id }) => id)).toEqual(["players"]);
    expect(plots[0]).toMatchObject({ limit: 40, times: [60, 120, 560, 1000], curves: [{ values: [2, 2, null, 2] }] });
  });

  it("have ticks and latency where a game tells them", () => {
    expect(buildGamePlots([look(60, { latencyMs: 3, ticksPerS: 20 })], null).map(({ id, unit }) => [id, unit])).toEqual([["players", "count"], ["latency", "ms"], ["ticks", "ticks/s"]]);
  });

  it("end with the last one, once", () => {
    expect(joinPoints([look(60)], look(120))).toHaveLength(2);
    expect(joinPoints([look(60), look(120)], look(120))).toHaveLength(2);
    expect(joinPoints([], null)).toEqual([]);
  });

  it("show ten minutes at least", () => {
    expect(rangeOf([look(900)], 1_000_000)).toEqual({ from: 400, to: 1000 });
    expect(rangeOf([look(100)], 1_000_000)).toEqual({ from: 100, to: 1000 });
  });
});

describe("a server in words", () => {
  it("tells the version that lies there and the one that is wanted", () => {
    expect(describeInstalled({ version: "2", installedVersion: "2" })).toBe("2");
    expect(describeInstalled({ version: "2", installedVersion: "1" })).toBe("1, on the way to 2");
    expect(describeInstalled({ version: "2", installedVersion: null })).toBe("2, not complete yet");
  });

  it("is found at its first public port", () => {
    const { ports } = sampleGame();
    const inner = { name: "query", protocol: "udp" as const, port: 1, publicPort: null, address: null };
    expect(findEntrance([inner, ...ports])?.address).toBe("game-101.example.org:25600");
    expect(findEntrance([inner])).toBeNull();
  });

  it("warns of a change without a backup, and of players where it is on", () => {
    const game = { version: "1", installedVersion: "1" };
    expect(explainChange(game, "2", true, true).join(" ")).toMatch(/players are disconnected.*to go back to/);
    expect(explainChange(game, "2", false, true).join(" ")).toContain("cannot be undone");
    expect(explainChange(game, "2", true, false).join(" ")).not.toContain("players");
    expect(explainChange(game, "1", true, false)[0]).toContain("again");
    expect(explainChange(game, "1", true, true).join(" ")).toContain("no backup is made");
  });

  it("shows what it waits for while that is under way", () => {
    const step = (name: string, state: Step["state"]): Step => ({ name, state, startedAt: null, finishedAt: null, progress: null, code: null, message: null, exitCode: null, output: null, transfer: null, attempts: 1, nextTryAt: null });
    const waits = step("install squid 2", "pending");
    expect(findWork([step("install-java", "running"), waits], "squid")?.name).toBe("install-java");
    expect(findWork([step("install-java", "done"), waits], "squid")).toBe(waits);
    expect(findWork([step("install-java", "running"), step("install squid 2", "running")], "squid")?.name).toBe("install squid 2");
    expect(findWork([step("install-java", "running"), step("install squid 2", "done")], "squid")).toBeNull();
  });

  it("says that a restore loses what has come since", () => {
    expect(explainRestore({ version: "1.20" }, "yesterday")).toMatch(/replaced.*1\.20.*lost/);
  });

  it("says of a backup that players are disconnected, where there can be any", () => {
    expect(explainBackup(true)).toContain("disconnected");
    expect(explainBackup(false)).not.toContain("disconnected");
  });

  it("makes no backup of what is not in place", () => {
    expect(whyNoBackup({ lifecycle: "running" }, "installing")).toContain("not in place");
    expect(whyNoBackup({ lifecycle: "running" }, "changing")).toContain("under way");
    expect(whyNoBackup({ lifecycle: "running" }, "installed")).toBeNull();
  });

  it("waits for the change before", () => {
    expect(whyNoChange({ lifecycle: "running" }, "installed")).toBeNull();
    expect(whyNoChange({ lifecycle: "running" }, "failed")).toBeNull();
    expect(whyNoChange({ lifecycle: "running" }, "changing")).not.toBeNull();
    expect(whyNoChange({ lifecycle: "deleting" }, "installed")).not.toBeNull();
  });

  it("has files that can be placed again while the catalog has its version", () => {
    const why = (state: "installed" | "changing", versions: string[]) => whyNoRepair({ lifecycle: "running" }, { state, version: "1.2", versions });
    expect([why("installed", ["1.3", "1.2"]), why("changing", ["1.2"]), why("installed", ["1.3"])]).toEqual([null, expect.stringContaining("under way"), expect.stringContaining("no 1.2 any more")]);
  });

  it("takes commands while it runs and is heard", () => {
    expect(whyNoCommand({ connection: "online", lifecycle: "running" })).toBeNull();
    expect(whyNoCommand({ connection: "offline", lifecycle: "running" })).not.toBeNull();
    expect(whyNoCommand({ connection: "online", lifecycle: "stopped" })).not.toBeNull();
  });

  it("counts who plays, and says where names are missing", () => {
    expect([{ count: 0, max: null }, { count: 3, max: 40 }, { count: 3, max: null }].map(describePlayers)).toEqual(["Nobody", "3 of 40", "3"]);
    const online = [{ name: "ann", uuid: null, since: "2026-01-01T00:00:00Z" }];
    expect(describeIncomplete({ count: 1, complete: true, online })).toBeNull();
    expect(describeIncomplete({ count: 2, complete: false, online })).toContain("counts 2");
  });

  it("says why it does not come up, by its hint before its last state", () => {
    const down = sampleStatus({ kind: "game", lifecycle: "error", ready: false });
    expect(findTrouble(down, { hint: "Choose more memory.", hintCode: "memory" })).toMatchObject({ message: "Choose more memory.", code: "memory" });
    expect(findTrouble(down, { hint: null, hintCode: null })).toBeNull();
    expect(findTrouble({ ...down, lifecycle: "running", ready: true }, { hint: "old", hintCode: "old" })).toBeNull();
  });
});

describe("the tabs", () => {
  const names = (more: Partial<ContainerStatus>, mods: Parameters<typeof tabsOf>[1] = null) => tabsOf(sampleStatus(more), mods).map(({ label }) => label);

  it("of a dev container are as ever", () => {
    expect(names({})).toEqual(["Overview", "Processes", "Terminal", "Files", "Metrics", "History", "Ports", "Runtimes", "Addons", "Settings"]);
  });

  it("of a game container have its game, and neither runtimes nor addons", () => {
    expect(names({ kind: "game" })).toEqual(["Overview", "Game", "Processes", "Terminal", "Files", "Metrics", "History", "Ports", "Settings"]);
  });

  it("have the runtimes of a game where one is broken", () => {
    expect(names({ kind: "game", degraded: ["runtime_unverified"] })).toContain("Runtimes");
  });
});

import { describe, expect, it } from "vitest";
import { ApiError } from "../api/problem";
import type { FoundMod, ModSeen, ModsReport, OfferedVersion, PlannedMod } from "../api/types";
import { sampleStatus } from "../containers/sample";
import { tabsOf } from "../containers/tabs";
import { adviseProblem, changesOf, describeCondition, describeLine, describeOffered, goesOn, joinFound, lastChange, NOTHING, versionsWithin, whoNeeds, whyNoChange, wishFor } from "./words";

function line(more: Partial<PlannedMod> = {}): PlannedMod {
  return { projectId: "P1", title: "Lithium", act: "install", before: null, after: "0.2", channel: "release", size: 2048, neededBy: [], ...more };
}

function mod(projectId: string, needs: string[] = [], isEnabled = true): ModSeen {
  return {
    condition: null,
    entry: {
      actor: "u", installedAt: "2026-01-01T00:00:00Z", isAskedFor: true, isEnabled, isPinned: false, previous: null, reason: "", source: "modrinth",
      file: {
        projectId, slug: projectId, title: `The ${projectId}`, versionId: "v", versionNumber: "1", channel: "release", fileName: `${projectId}.jar`, url: "https://example.com/a.jar", size: 1, sha512: "",
        loaders: [], gameVersions: [], environment: "both", publishedAt: null, needs: needs.map((need) => ({ projectId: need, kind: "required", versionId: null })),
      },
    },
  };
}

describe("mods", () => {
  it("have a plan that says what is done, how large it is, and for whom", () => {
    expect(describeLine(line())).toBe("Install Lithium 0.2 (2 KiB)");
    expect(describeLine(line({ act: "update", before: "0.1", neededBy: ["Sodium"] }))).toBe("Update Lithium 0.1 to 0.2 (2 KiB), needed by Sodium");
    expect(describeLine(line({ act: "remove", before: "0.1", after: null }))).toBe("Remove Lithium 0.1");
    expect(changesOf({ mods: [line(), line({ act: "keep" })] })).toHaveLength(1);
  });

  it("are needed by those that require them and are enabled", () => {
    expect(whoNeeds("a", [mod("a"), mod("b", ["a"]), mod("c", ["a"], false)])).toEqual(["The b"]);
  });

  it("that nobody has looked at have no condition", () => {
    expect(describeCondition({ condition: null })).toBeNull();
    expect(describeCondition({ condition: "missing" })?.tone).toBe("bad");
  });

  it("have a last change, whatever the clock says", () => {
    const change = (id: string, at: string): ModsReport["changes"][number] => ({ id, at, actor: "u", reason: "", acts: [], before: [], isRollback: false });
    const [old, young] = [change("1", "2026-01-01T00:00:00Z"), change("2", "2026-01-02T00:00:00Z")];
    expect([lastChange({ changes: [old, young] })?.id, lastChange({ changes: [young, old] })?.id, lastChange({ changes: [] })]).toEqual(["2", "1", null]);
  });

  it("are under way until the change has ended, or its agent knows it no more", () => {
    const [away, gone] = [new ApiError("agent_unreachable", 503, ""), new ApiError("mod_change_unknown", 404, "")];
    expect([goesOn({ state: "running" }, null), goesOn({ state: "running" }, away), goesOn({ state: "running" }, gone), goesOn({ state: "done" }, null)]).toEqual([true, true, false, false]);
  });

  it("cannot be changed while their agent is away or busy", () => {
    expect([whyNoChange({ connection: "offline" }, false), whyNoChange({ connection: "online" }, true), whyNoChange({ connection: "online" }, false)]).toEqual([expect.stringContaining("not heard"), "A change is being made.", null]);
  });

  it("are found once each, however the pages overlap", () => {
    const found = (projectId: string): FoundMod => ({ projectId, slug: projectId, title: projectId, author: "ann", description: "", downloads: 1, isInstalled: false, environment: "both", iconUrl: null });
    expect(joinFound([{ items: [found("a"), found("b")] }, { items: [found("b"), found("c")] }]).map(({ projectId }) => projectId)).toEqual(["a", "b", "c"]);
  });

  it("have a tab where the server takes any, by the name that the game has for them", () => {
    const game = sampleStatus({ kind: "game" });
    const labels = (mods: Parameters<typeof tabsOf>[1]) => tabsOf(game, mods).map(({ label }) => label);
    expect(labels({ folder: "plugins", loaders: ["paper"], title: "plugins" })).toContain("Plugins");
    expect(labels(null)).not.toContain("Mods");
    expect(labels(undefined)).not.toContain("Mods");
  });

  it("are offered within a channel, which takes what is safer too", () => {
    const offered = (versionNumber: string, channel: OfferedVersion["channel"], trouble: string | null = null): OfferedVersion => ({ versionId: versionNumber, versionNumber, channel, publishedAt: "2026-01-01T00:00:00Z", loaders: [], size: 1, trouble });
    const all = [offered("3", "alpha"), offered("2", "beta"), offered("1", "release", "it has no file")];
    expect(versionsWithin(all, "release").map(({ versionId }) => versionId)).toEqual(["1"]);
    expect(versionsWithin(all, "beta").map(({ versionId }) => versionId)).toEqual(["2", "1"]);
    expect(versionsWithin(all, "alpha")).toHaveLength(3);
    expect(describeOffered(offered("2", "beta"), true)).toBe("2, beta, as it is");
    expect(describeOffered(offered("1", "release", "it has no file"), false)).toBe("1 (cannot be had: it has no file)");
  });

  it("are wished for as an update where they are there and no version is named", () => {
    expect(wishFor("P1", { channel: "beta", versionId: null }, true)).toEqual({ ...NOTHING, update: ["P1"], channel: "beta" });
    expect(wishFor("P1", { channel: "beta", versionId: null }, false).install).toEqual([{ project: "P1", version: null, channel: "beta" }]);
    expect(wishFor("P1", { channel: "release", versionId: "v1" }, true)).toMatchObject({ install: [{ project: "P1", version: "v1" }], update: [] });
  });

  it("have problems with something to do about them", () => {
    expect(adviseProblem({ code: "mods_conflict" })).toContain("leave one of them out");
    expect(adviseProblem({ code: "mod_optional" })).toBeNull();
  });
});

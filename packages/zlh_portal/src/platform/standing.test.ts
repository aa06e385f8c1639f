import { describe, expect, it } from "vitest";
import { LOOKED_AT, sampleFinding, sampleReport, sampleStatus, sampleWork } from "./sample";
import { countDown, countLooked, describeWork, factsOf, figuresOf, groupFindings, judge, nameFinding } from "./standing";

const T0 = Date.parse(LOOKED_AT);

describe("groupFindings", () => {
  it("puts the worst group first and keeps kinds together", () => {
    const groups = groupFindings([
      sampleFinding({ kind: "stranger", severity: "note" }),
      sampleFinding({ kind: "orphan" }),
      sampleFinding({ kind: "conflict", severity: "error" }),
      sampleFinding({ kind: "orphan", vmid: 102 }),
    ]);
    expect(groups.map(({ kind, tone, findings }) => [kind, tone, findings.length])).toEqual([
      ["conflict", "bad", 1],
      ["orphan", "warn", 2],
      ["stranger", "quiet", 1],
    ]);
  });

  it("is as bad as the worst of a group", () => {
    const [group] = groupFindings([sampleFinding({ severity: "note" }), sampleFinding({ severity: "error" })]);
    expect(group?.tone).toBe("bad");
  });

  it("shows a kind that only a newer API knows", () => {
    const [group] = groupFindings([sampleFinding({ kind: "haunted" as "orphan" })]);
    expect(group?.title).toBe("haunted");
  });
});

describe("nameFinding", () => {
  it("names what people look for", () => {
    expect(nameFinding(sampleFinding())).toBe("guest 101");
    expect(nameFinding(sampleFinding({ thing: "route", name: "dev-101.yml" }))).toBe("dev-101.yml");
    expect(nameFinding(sampleFinding({ vmid: null }))).toBe("node1/101");
  });
});

describe("factsOf", () => {
  it("says nothing twice", () => {
    expect(factsOf(sampleFinding({ message: "node1/101 is alone.", owner: "abc" }))).toEqual(["abc"]);
  });
});

describe("judge", () => {
  it("says that all is well only of a fresh and whole look", () => {
    expect(judge(sampleStatus(), T0 + 5_000)).toMatchObject({ tone: "good", title: "All is as it should be" });
  });

  it("calls nothing well that was not looked at", () => {
    expect(judge(sampleStatus({ report: null }), T0)).toMatchObject({ tone: "warn", title: "Nobody has looked yet" });
    expect(judge(sampleStatus(), T0 + 600_000)).toMatchObject({ tone: "bad", title: "Nobody is looking" });
    expect(judge(sampleStatus({ patrol: { isAlive: false, everyS: 15 } }), T0)).toMatchObject({ title: "Nobody is looking" });
    const parts = [{ name: "guests", count: null, trouble: "node1 is away" }];
    expect(judge(sampleStatus({ report: sampleReport({ parts }) }), T0)).toMatchObject({ tone: "warn", title: "Not everything could be looked at" });
  });

  it("counts what is wrong, and not what is only noted", () => {
    const findings = [sampleFinding(), sampleFinding({ severity: "note" })];
    expect(judge(sampleStatus({ report: sampleReport({ findings }) }), T0).title).toBe("One thing is not as it should be");
    expect(judge(sampleStatus({ report: sampleReport({ findings, leftOut: 20 }) }), T0).title).toBe("21 things are not as they should be");
    expect(judge(sampleStatus({ report: sampleReport({ findings: findings.slice(1) }) }), T0).tone).toBe("good");
  });
});

describe("work", () => {
  it("counts down to the next try", () => {
    const item = sampleWork({ nextTryAt: "2026-01-01T00:00:12Z" });
    expect(countDown(item, T0)).toBe("in 12 s");
    expect(countDown(item, T0 + 11_900)).toBe("in 1.0 s");
    expect(countDown(item, T0 + 13_000)).toBe("now");
    expect(countDown(sampleWork(), T0)).toBeNull();
  });

  it("has words for every state", () => {
    expect(["working", "due", "waiting", "held", "awaiting"].map((state) => describeWork(sampleWork({ state })).label)).toEqual(["Working", "Due", "Waiting", "Held back", "Awaiting"]);
  });

  it("alarms where containers fail or wait for long", () => {
    const figures = figuresOf({ settled: 9, working: 0, due: 1, waiting: 0, held: 0, awaiting: 0, failing: 2, oldestDueS: 90 });
    expect(figures.filter(({ isAlarming }) => isAlarming).map(({ label, value }) => [label, value])).toEqual([["Failing", "2"], ["Oldest due", "1 m 30 s"]]);
  });
});

describe("countLooked", () => {
  it("names only what was looked at", () => {
    expect(countLooked(sampleReport())).toBe("1 container, 1 guest, 2 route files");
  });
});

import { describe, expect, it } from "vitest";
import { sampleStep as step } from "./sample";
import { isTicking, renderRows, splitSteps, summarize } from "./timeline";

const T0 = Date.parse("2026-01-01T00:00:00Z");
const at = (s: number) => new Date(T0 + s * 1000).toISOString();

describe("renderRows", () => {
  it("ticks while a step runs", () => {
    const steps = [step("create-guest", "running", { startedAt: at(0), progress: 0.424 })];
    expect(renderRows(steps, T0 + 5_000)[0]).toMatchObject({ title: "Create the container", duration: "5.0 s", percent: 42 });
    expect(renderRows(steps, T0 + 65_000)[0]?.duration).toBe("1 m 05 s");
  });

  it("stands still once a step has ended", () => {
    const steps = [step("create-guest", "done", { startedAt: at(0), finishedAt: at(2) })];
    expect(renderRows(steps, T0 + 99_000)[0]?.duration).toBe("2.0 s");
  });

  it("gives no duration to what has not begun or was skipped", () => {
    const steps = [step("a", "pending"), step("answer-dns", "skipped", { startedAt: at(0) })];
    expect(renderRows(steps, T0).map((row) => row.duration)).toEqual(["", ""]);
  });

  it.each([[-1, 0], [2, 100], [0.5, 50]])("keeps a progress of %d within its bounds", (progress, percent) => {
    expect(renderRows([step("a", "running", { progress })], T0)[0]?.percent).toBe(percent);
  });

  it("survives times that are none", () => {
    expect(renderRows([step("a", "done", { startedAt: "soon", finishedAt: "later" })], T0)[0]?.duration).toBe("");
  });
});

it("shows counted bytes in units", () =>
  expect(renderRows([step("a", "running", { message: "unpacking: 1048576 of 189774683 bytes" })], T0)[0]?.message).toBe("unpacking: 1 MiB of 181 MiB"));

describe("summarize", () => {
  it("counts the running step by its progress", () => {
    const steps = [step("a", "done"), step("b", "running", { progress: 0.5 }), step("c", "pending"), step("d", "skipped")];
    expect(summarize(steps)).toMatchObject({ settled: 2, total: 4, percent: 63, current: "B", isDone: false });
  });

  it("tells the whole time once all is done", () => {
    const steps = [step("a", "done", { startedAt: at(0), finishedAt: at(1) }), step("b", "done", { startedAt: at(1), finishedAt: at(12) })];
    expect(summarize(steps)).toMatchObject({ isDone: true, took: "12 s", percent: 100 });
  });

  it("does not count the time before a step is done once more", () => {
    const steps = [step("a", "done", { startedAt: at(0), finishedAt: at(2) }), step("b", "done", { startedAt: at(1), finishedAt: at(3) }), step("c", "done", { startedAt: at(40), finishedAt: at(41) })];
    expect(summarize(steps).took).toBe("4.0 s");
  });

  it("has nothing to say about no steps", () => {
    expect(summarize([])).toMatchObject({ percent: 0, isDone: false, took: null });
  });
});

describe("splitSteps", () => {
  const steps = [step("send-spec", "done"), step("install-node", "done"), step("install-go", "failed"), step("check-ready", "done"), step("resize-guest", "failed")];
  it("tells what came later from what made a container", () =>
    expect(splitSteps({ steps, provisioningComplete: true, lifecycle: "running" })).toEqual({ first: [steps[0], steps[1], steps[3]], later: [steps[2], steps[4]] }));
  it("knows nothing later before there was a first", () => expect(splitSteps({ steps, provisioningComplete: false, lifecycle: "provisioning" }).later).toEqual([]));
  it("forgets a stop that is over, and tells of one on the way out", () => {
    const stop = step("stop-guest", "done");
    const first = (lifecycle: "running" | "deleting", state: "done" | "running" = "done") => splitSteps({ steps: [{ ...stop, state }], provisioningComplete: true, lifecycle }).first;
    expect(first("running")).toEqual([]);
    expect(first("running", "running")).toHaveLength(1);
    expect(first("deleting")).toEqual([stop]);
  });
});

describe("a step that failed", () => {
  const failed = step("create-guest", "failed", { code: "guest_failed", attempts: 3, nextTryAt: at(30) });
  const tell = (s: number, more = {}) => renderRows([{ ...failed, ...more }], T0 + s * 1000)[0]?.tries;
  it("counts down to the next try", () => {
    expect(tell(18)).toBe("failed 3 times, tried again in 12 s");
    expect(tell(18.4)).toBe("failed 3 times, tried again in 12 s");
    expect(tell(31)).toBe("failed 3 times, tried again now");
  });
  it("says which try is under way", () => expect(tell(0, { state: "running" })).toBe("try 4"));
  it("says nothing once it is done", () => expect(tell(0, { state: "done" })).toBe(""));
  it("survives a moment that is none", () => expect(tell(0, { nextTryAt: "soon" })).toBe("failed 3 times"));
  it("ticks", () => {
    expect(isTicking([failed])).toBe(true);
    expect(isTicking([{ ...failed, nextTryAt: null }, step("a", "done")])).toBe(false);
  });
});

describe("a step that waits for its turn", () => {
  const waiting = step("create-guest", "pending", { code: "slot_busy", nextTryAt: at(5), message: "Waiting for its turn." });
  it("has not failed", () => {
    expect(renderRows([waiting], T0)[0]).toMatchObject({ isWaiting: true, tries: "" });
    expect(summarize([waiting])).toMatchObject({ hasFailed: false, isWaiting: true });
  });
  it("waits no more once it is done", () => expect(summarize([{ ...waiting, state: "done" }]).isWaiting).toBe(false));
});

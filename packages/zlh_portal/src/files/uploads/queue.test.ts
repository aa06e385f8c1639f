import { describe, expect, it } from "vitest";
import { countTotals, type Effect, type Event, findQuestion, hasEnded, type Phase, POLICY, START, type State, step } from "./queue";

const place = { vmid: 101, root: "workspace" };
const add = (...sizes: number[]): Event => ({ type: "added", place, files: sizes.map((size, index) => ({ path: `f${index}.txt`, size })) });
const broken = (id: number): Event => ({ type: "failed", id, problem: { code: "unreachable", detail: "" }, mayPass: true });

function run(events: readonly Event[], from: State = START, now = 0): { state: State; effects: Effect[] } {
  return events.reduce<{ state: State; effects: Effect[] }>(({ state, effects }, event) => {
    const [next, more] = step(state, event, now);
    return { state: next, effects: [...effects, ...more] };
  }, { state: from, effects: [] });
}
const phases = ({ items }: State) => items.map(({ phase }) => phase).join(" ");

describe("the queue", () => {
  it("sends three at once, and the next as one ends", () => {
    const { state } = run([add(1, 1, 1, 1)]);
    expect(phases(state)).toBe("sending sending sending waiting");
    const after = run([{ type: "finished", id: 2 }], state);
    expect(phases(after.state)).toBe("sending done sending sending");
    expect(after.effects.map(({ type }) => type)).toEqual(["landed", "forget", "send"]);
  });
  it("tries again ever later while the way is broken, and at once when it is back", () => {
    const first = run([add(9), broken(1)]);
    expect(first.state.items[0]).toMatchObject({ phase: "retrying", retryAt: POLICY.firstDelayMs });
    expect(first.effects.at(-1)).toEqual({ type: "wake", at: POLICY.firstDelayMs });
    expect(phases(run([{ type: "woken", isBack: false }], first.state, POLICY.firstDelayMs - 1).state)).toBe("retrying");
    const again = run([{ type: "woken", isBack: true }, broken(1)], first.state, 5);
    expect(again.state.items[0]?.retryAt).toBe(5 + 2 * POLICY.firstDelayMs);
  });
  it("begins to count failures anew once something has come through", () => {
    const { state } = run([add(9), broken(1), { type: "woken", isBack: true }, { type: "progress", id: 1, sent: 3 }, broken(1)]);
    expect(state.items[0]).toMatchObject({ attempt: 1, sent: 3 });
  });
  it("waits as long as it is told to", () => {
    const { state } = run([add(1), { type: "failed", id: 1, problem: { code: "rate_limited", detail: "" }, mayPass: true, waitS: 20 }]);
    expect(state.items[0]?.retryAt).toBe(20_000);
  });
  it("asks once for all that came together, those to come included", () => {
    const { state } = run([add(1, 1, 1, 1), { type: "taken", id: 1 }, { type: "taken", id: 3 }]);
    expect(findQuestion(state)?.items.map(({ id }) => id)).toEqual([1, 3]);
    const both = run([{ type: "answered", batch: 1, choice: "both" }, { type: "finished", id: 2 }, { type: "finished", id: 4 }], state);
    expect(both.state.items.map(({ path }) => path)).toEqual(["f0 (2).txt", "f1.txt", "f2 (2).txt", "f3.txt"]);
    expect(findQuestion(both.state)).toBeNull();
    expect(run([{ type: "taken", id: 1 }], both.state).state.items[0]?.path).toBe("f0 (3).txt");
    const later = run([add(1), { type: "finished", id: 1 }, { type: "taken", id: 5 }], both.state);
    expect(findQuestion(later.state)?.batch).toBe(2);
  });
  it("skips, or replaces, as it was answered", () => {
    const { state } = run([add(1), { type: "taken", id: 1 }]);
    expect(phases(run([{ type: "answered", batch: 1, choice: "skip" }], state).state)).toBe("skipped");
    const replaced = run([{ type: "answered", batch: 1, choice: "replace" }], state);
    expect(replaced.effects).toEqual([{ type: "send", item: expect.objectContaining({ overwrite: true }) as unknown }]);
    expect(phases(run([{ type: "taken", id: 1 }], replaced.state).state)).toBe("failed");
  });
  it("pauses and goes on, one or all", () => {
    const paused = run([add(1, 1, 1, 1), { type: "pause", id: null }]);
    expect(phases(paused.state)).toBe("paused paused paused paused");
    expect(paused.effects.filter(({ type }) => type === "stop")).toHaveLength(3);
    expect(phases(run([{ type: "resume", id: 4 }], paused.state).state)).toBe("paused paused paused sending");
  });
  it("takes back what is cancelled, and hears nothing of it any more", () => {
    const { state, effects } = run([add(1), { type: "cancel", id: 1 }, { type: "finished", id: 1 }, broken(1)]);
    expect(phases(state)).toBe("cancelled");
    expect(effects.at(-1)).toEqual({ type: "discard", id: 1 });
  });
  it("keeps what failed for good until somebody tries it again", () => {
    const { state } = run([add(1), { type: "failed", id: 1, problem: { code: "no_room_on_disk", detail: "full" }, mayPass: false }]);
    expect(phases(run([{ type: "woken", isBack: true }], state, 1e9).state)).toBe("failed");
    expect(phases(run([{ type: "again", id: 1 }], state).state)).toBe("sending");
  });
  it("tells how much is left and for how long", () => {
    let { state } = run([add(1000)]);
    for (let second = 0; second <= 4; second += 1) [state] = step(state, { type: "progress", id: 1, sent: second * 100 }, second * 1000);
    expect(countTotals(state)).toMatchObject({ open: 1, sentBytes: 400, bytes: 1000 });
    expect(Math.round(state.rate ?? 0)).toBe(100);
    expect(Math.round(countTotals(state).leftS ?? 0)).toBe(6);
  });
  it("keeps its promises whatever comes, in any order", () => {
    let seed = 7;
    const chance = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    let state = START;
    for (let turn = 0; turn < 600; turn += 1) {
      const id = 1 + chance(Math.max(1, state.nextId));
      const events: Event[] = [
        add(chance(50), chance(50)), { type: "progress", id, sent: chance(60) }, { type: "finished", id }, broken(id), { type: "taken", id }, { type: "answered", batch: 1 + chance(state.nextBatch), choice: (["replace", "skip", "both"] as const)[chance(3)] ?? "skip" },
        { type: "pause", id: chance(4) ? id : null }, { type: "resume", id: chance(4) ? id : null }, { type: "cancel", id }, { type: "again", id }, { type: "woken", isBack: chance(2) === 0 }, ...(chance(20) === 0 ? [{ type: "cleared" } as const] : []),
      ];
      const before = new Map(state.items.map((item) => [item.id, item]));
      const event = events[chance(events.length)] ?? { type: "woken", isBack: false };
      const [next] = step(state, event, turn * 100);
      const of = (phase: Phase) => next.items.filter((item) => item.phase === phase).length;
      expect(of("sending")).toBeLessThanOrEqual(POLICY.limit);
      if (of("waiting") > 0) expect(of("sending")).toBe(POLICY.limit);
      const wrong = next.items.filter((item) => {
        const was = before.get(item.id);
        return item.sent > item.size || (was && hasEnded(was) && event.type !== "again" && item.phase !== was.phase);
      });
      expect(wrong).toEqual([]);
      state = next;
    }
  });
});

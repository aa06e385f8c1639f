/**
 * The queue of uploads as a pure machine: (state, event) → (state, effects).
 *
 *     waiting → sending → done
 *        ↑         ├→ retrying (the way is broken; again at `retryAt`)
 *        │         ├→ asking (something has this name) → waiting | skipped
 *        │         ├→ failed (no use to try again until somebody says so)
 *        └─ paused ┘
 *     every phase that has not ended → cancelled
 *
 * Invariants: at most `limit` are sending; what is answered for one file of a batch holds for all of it; an item that
 * has ended takes no event but `again`.
 */
import { renderOtherPath } from "../paths";

export type Phase = "waiting" | "sending" | "paused" | "retrying" | "asking" | "done" | "failed" | "skipped" | "cancelled";
export type Choice = "replace" | "skip" | "both";

export interface Place {
  vmid: number;
  root: string;
}

export interface Item extends Place {
  id: number;
  /** What was chosen or dropped together, and is asked about once. */
  batch: number;
  path: string;
  /** As it was chosen; `path` may have become another. */
  wished: string;
  size: number;
  sent: number;
  phase: Phase;
  overwrite: boolean;
  /** How many other names were tried. */
  renamed: number;
  /** Failures in a row. */
  attempt: number;
  retryAt: number | null;
  problem: Problem | null;
}

export interface Problem {
  code: string;
  detail: string;
}

export interface State {
  items: readonly Item[];
  answers: Readonly<Record<number, Choice>>;
  nextId: number;
  nextBatch: number;
  /** Bytes for each second, smoothed; null while nothing is known. */
  rate: number | null;
  /** What was counted last for the rate: a moment, and the bytes since then. */
  counted: { at: number; bytes: number } | null;
}

export const START: State = { items: [], answers: {}, nextId: 1, nextBatch: 1, rate: null, counted: null };

export type Event =
  | { type: "added"; place: Place; files: readonly { path: string; size: number }[] }
  | { type: "progress"; id: number; sent: number }
  | { type: "finished"; id: number }
  | { type: "failed"; id: number; problem: Problem; mayPass: boolean; waitS?: number }
  | { type: "taken"; id: number }
  | { type: "answered"; batch: number; choice: Choice }
  /** One, or with null all of them. */
  | { type: "pause"; id: number | null }
  | { type: "resume"; id: number | null }
  | { type: "cancel"; id: number | null }
  | { type: "again"; id: number }
  /** Time has passed, or the network is back (`isBack`): what waits for either is tried. */
  | { type: "woken"; isBack: boolean }
  /** Forget those that have ended. */
  | { type: "cleared" };

export type Effect =
  | { type: "send"; item: Item }
  /** Stop sending; what has come is kept there. */
  | { type: "stop"; id: number }
  /** Stop sending, and have what has come removed. */
  | { type: "discard"; id: number }
  | { type: "forget"; id: number }
  | { type: "landed"; item: Item }
  | { type: "wake"; at: number };

export interface Policy {
  limit: number;
  firstDelayMs: number;
  longestDelayMs: number;
}

export const POLICY: Policy = { limit: 3, firstDelayMs: 1_000, longestDelayMs: 30_000 };

const ENDED: ReadonlySet<Phase> = new Set(["done", "failed", "skipped", "cancelled"]);
const RATE_EVERY_MS = 500;

type Step = [State, Effect[]];

/** Return the next state and what must be done. */
export function step(state: State, event: Event, now: number, policy: Policy = POLICY): Step {
  const [changed, effects] = react(state, event, now, policy);
  const [filled, begun] = fill(changed, now, policy);
  return [filled, [...effects, ...begun]];
}

export function hasEnded({ phase }: Item): boolean {
  return ENDED.has(phase);
}

function react(state: State, event: Event, now: number, policy: Policy): Step {
  switch (event.type) {
    case "added":
      return [add(state, event), []];
    case "progress":
      return [progress(state, event.id, event.sent, now), []];
    case "finished":
      return onSending(state, event.id, (item) => {
        const done: Item = { ...item, phase: "done", sent: item.size, problem: null, attempt: 0 };
        return [done, [{ type: "landed", item: done }, { type: "forget", id: item.id }]];
      });
    case "failed":
      return onSending(state, event.id, (item) => [fail(item, event, now, policy), []]);
    case "taken":
      return onSending(state, event.id, (item) => [settle({ ...item, phase: "asking", sent: 0 }, state.answers[item.batch]), []]);
    case "answered":
      return answer(state, event.batch, event.choice);
    case "pause":
      return each(state, event.id, (item) => item.phase === "waiting" || item.phase === "sending" || item.phase === "retrying",
        (item) => [{ ...item, phase: "paused", retryAt: null }, item.phase === "sending" ? [{ type: "stop", id: item.id }] : []]);
    case "resume":
      return each(state, event.id, ({ phase }) => phase === "paused" || phase === "retrying", (item) => [{ ...item, phase: "waiting", retryAt: null, attempt: 0 }, []]);
    case "cancel":
      return each(state, event.id, (item) => !hasEnded(item), (item) => [{ ...item, phase: "cancelled", retryAt: null }, [{ type: "discard", id: item.id }]]);
    case "again":
      return each(state, event.id, ({ phase }) => phase === "failed", (item) => [{ ...item, phase: "waiting", problem: null, attempt: 0 }, []]);
    case "woken":
      return [{ ...state, items: state.items.map((item) => (isDue(item, event.isBack, now) ? { ...item, phase: "waiting", retryAt: null } : item)) }, []];
    case "cleared":
      return [{ ...state, items: state.items.filter((item) => !hasEnded(item)) }, state.items.filter(hasEnded).map(({ id }) => ({ type: "forget", id }))];
  }
}

function add(state: State, { place, files }: Extract<Event, { type: "added" }>): State {
  const items = files.map(({ path, size }, index): Item => ({
    ...place, id: state.nextId + index, batch: state.nextBatch, path, wished: path, size, sent: 0, phase: "waiting", overwrite: false, renamed: 0, attempt: 0, retryAt: null, problem: null,
  }));
  return { ...state, items: [...state.items, ...items], nextId: state.nextId + items.length, nextBatch: state.nextBatch + 1 };
}

/** Act on an item that is being sent; what is told of one that is not comes too late. */
function onSending(state: State, id: number, act: (item: Item) => [Item, Effect[]]): Step {
  return each(state, id, ({ phase }) => phase === "sending", act);
}

function each(state: State, id: number | null, fits: (item: Item) => boolean, act: (item: Item) => [Item, Effect[]]): Step {
  const effects: Effect[] = [];
  const items = state.items.map((item) => {
    if ((id !== null && item.id !== id) || !fits(item)) return item;
    const [next, more] = act(item);
    effects.push(...more);
    return next;
  });
  return [{ ...state, items }, effects];
}

function fail(item: Item, { problem, mayPass, waitS }: Extract<Event, { type: "failed" }>, now: number, policy: Policy): Item {
  if (!mayPass) return { ...item, phase: "failed", problem };
  const delay = Math.max(Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** item.attempt), (waitS ?? 0) * 1000);
  return { ...item, phase: "retrying", problem, attempt: item.attempt + 1, retryAt: now + delay };
}

function isDue({ phase, retryAt }: Item, isBack: boolean, now: number): boolean {
  return phase === "retrying" && (isBack || retryAt === null || retryAt <= now);
}

/** Return what becomes of an item whose name is taken, by what was answered for its batch. */
function settle(item: Item, choice: Choice | undefined): Item {
  switch (choice) {
    case undefined:
      return item;
    case "skip":
      return { ...item, phase: "skipped" };
    case "replace":
      // Taken all the same: something stands there that no file can replace.
      if (item.overwrite) return { ...item, phase: "failed", problem: { code: "file_exists", detail: "What stands there cannot be replaced by a file." } };
      return { ...item, phase: "waiting", overwrite: true };
    case "both":
      return { ...item, phase: "waiting", renamed: item.renamed + 1, path: renderOtherPath(item.wished, item.renamed + 2) };
  }
}

function answer(state: State, batch: number, choice: Choice): Step {
  const answered = { ...state, answers: { ...state.answers, [batch]: choice } };
  return each(answered, null, (item) => item.phase === "asking" && item.batch === batch, (item) => [settle(item, choice), []]);
}

function progress(state: State, id: number, sent: number, now: number): State {
  const item = state.items.find((one) => one.id === id);
  if (item?.phase !== "sending") return state;
  const items = state.items.map((one) => (one.id === id ? { ...one, sent: Math.min(sent, one.size), attempt: sent > one.sent ? 0 : one.attempt } : one));
  const came = Math.max(0, sent - item.sent);
  // A piece that had come before is told at once when an upload goes on: no rate is made of it.
  const isNew = item.sent > 0 || came < 4_000_000;
  return { ...state, items, ...countRate(state, isNew ? came : 0, now) };
}

function countRate({ rate, counted }: State, came: number, now: number): Pick<State, "rate" | "counted"> {
  if (counted === null) return { rate, counted: { at: now, bytes: 0 } };
  const bytes = counted.bytes + came;
  const span = now - counted.at;
  if (span < RATE_EVERY_MS) return { rate, counted: { ...counted, bytes } };
  const latest = (bytes * 1000) / span;
  const weight = rate === null ? 1 : 1 - Math.exp(-span / 4_000);
  return { rate: (rate ?? 0) + weight * (latest - (rate ?? 0)), counted: { at: now, bytes: 0 } };
}

/** Let those begin for which there is room, in the order in which they came; say when to look again. */
function fill(state: State, now: number, { limit }: Policy): Step {
  let free = limit - state.items.filter(({ phase }) => phase === "sending").length;
  const effects: Effect[] = [];
  const items = state.items.map((item): Item => {
    if (item.phase !== "waiting" || free <= 0) return item;
    free -= 1;
    const begun: Item = { ...item, phase: "sending" };
    effects.push({ type: "send", item: begun });
    return begun;
  });
  const times = items.flatMap(({ phase, retryAt }) => (phase === "retrying" && retryAt !== null ? [retryAt] : []));
  if (times.length > 0) effects.push({ type: "wake", at: Math.max(now, Math.min(...times)) });
  const isSending = items.some(({ phase }) => phase === "sending");
  return [{ ...state, items, ...(isSending ? {} : { rate: null, counted: null }) }, effects];
}

export interface Totals {
  /** Not ended. */
  open: number;
  done: number;
  failed: number;
  all: number;
  sentBytes: number;
  bytes: number;
  leftS: number | null;
}

/** Return how far all of them are together. */
export function countTotals({ items, rate }: State): Totals {
  const counted = items.filter(({ phase }) => phase !== "cancelled" && phase !== "skipped");
  const sentBytes = counted.reduce((sum, item) => sum + item.sent, 0);
  const bytes = counted.reduce((sum, item) => sum + item.size, 0);
  const left = counted.filter((item) => !hasEnded(item)).reduce((sum, item) => sum + item.size - item.sent, 0);
  return {
    open: items.filter((item) => !hasEnded(item)).length,
    done: items.filter(({ phase }) => phase === "done").length,
    failed: items.filter(({ phase }) => phase === "failed").length,
    all: counted.length, sentBytes, bytes, leftS: rate !== null && rate > 1 ? left / rate : null,
  };
}

/** Return the batch that somebody has to be asked about, with the files whose names are taken; null where there is none. */
export function findQuestion({ items }: State): { batch: number; items: Item[] } | null {
  const first = items.find(({ phase }) => phase === "asking");
  return first ? { batch: first.batch, items: items.filter(({ phase, batch }) => phase === "asking" && batch === first.batch) } : null;
}

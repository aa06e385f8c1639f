/**
 * A viewer of one console as a pure machine: (state, event) → (state, effects).
 *
 *     connecting → replaying → live ⇄ (socket lost) waiting → connecting …
 *                      └──────────┴→ refused (no use to try again until asked)
 *
 * Invariants: `offset` is the first byte not yet shown, so a byte is never shown twice; what is missing is always
 * noticed as a gap; nothing is sent as input outside `live`, hence no reply of the terminal to a replayed question.
 */
import type { Output, ServerMessage } from "./frames";

export type Phase = "connecting" | "replaying" | "live" | "waiting" | "refused";

export interface Exit {
  code: number | null;
  signal: string | null;
}

export interface State {
  phase: Phase;
  /** Which history this is; offsets mean nothing across two of them. */
  stream: string | null;
  offset: number | null;
  replayUntil: number;
  /** Failures in a row. */
  attempt: number;
  retryAt: number | null;
  reason: string | null;
  exit: Exit | null;
  /** The state of what runs behind the console, as it was last told. */
  told: string | null;
  /** Bytes that were never shown, since the last reset. */
  missedBytes: number;
}

export type Event =
  | { type: "message"; message: ServerMessage }
  | { type: "output"; output: Output }
  /** The terminal has rendered everything up to this offset. */
  | { type: "rendered"; offset: number }
  /** The socket is gone, or never opened; `isFinal` where trying again is of no use, `reason` where it is known. */
  | { type: "lost"; reason: string | null; isFinal: boolean }
  | { type: "retry" };

export type Effect =
  | { type: "connect"; from: number | null }
  | { type: "write"; bytes: Uint8Array; end: number }
  /** Say `rendered` once everything written so far is on the screen. */
  | { type: "mark"; offset: number }
  | { type: "clear" }
  | { type: "show-gap"; bytes: number }
  | { type: "send-size" };

export interface Policy {
  firstDelayMs: number;
  longestDelayMs: number;
}

export const POLICY: Policy = { firstDelayMs: 500, longestDelayMs: 15_000 };

export const START: State = {
  phase: "connecting", stream: null, offset: null, replayUntil: 0, attempt: 0, retryAt: null, reason: null, exit: null,
  told: null, missedBytes: 0,
};

type Step = [State, Effect[]];

/** Return the next state and what must be done; `chance` is 0 to 1 and spreads out viewers that return together. */
export function step(state: State, event: Event, now: number, chance: number, policy: Policy = POLICY): Step {
  switch (event.type) {
    case "message":
      return onMessage(state, event.message);
    case "output":
      return onOutput(state, event.output);
    case "rendered":
      return state.phase === "replaying" && event.offset >= state.replayUntil ? [{ ...state, phase: "live" }, []] : [state, []];
    case "lost":
      return onLost(state, event.reason, event.isFinal, now, chance, policy);
    case "retry":
      return [{ ...state, phase: "connecting", retryAt: null }, [{ type: "connect", from: state.offset }]];
  }
}

function onMessage(state: State, message: ServerMessage): Step {
  switch (message.type) {
    case "hello":
      return onHello(state, message);
    case "gap":
      return onGap(state, message.from, message.to);
    case "state":
      return [{ ...state, told: message.state, exit: isBegun(message.state) ? null : state.exit }, []];
    case "exit":
      return [{ ...state, exit: { code: message.code, signal: message.signal } }, []];
    case "input":
    case "notice":
      return [state, []];
  }
}

function onHello(state: State, hello: Extract<ServerMessage, { type: "hello" }>): Step {
  const isOther = state.stream !== null && state.stream !== hello.stream;
  if (isOther && state.offset !== null && hello.from !== 0) {
    // We asked for an offset of a history that is gone, and the new one may be as long already: begin it as a newcomer would.
    return [{ ...START, stream: hello.stream }, [{ type: "clear" }, { type: "connect", from: null }]];
  }
  const effects: Effect[] = isOther ? [{ type: "clear" }] : [];
  const offset = isOther ? hello.from : (state.offset ?? hello.from);
  const exit = isBegun(hello.state) ? null : state.exit;
  const next: State = {
    ...state, phase: "replaying", stream: hello.stream, offset, replayUntil: hello.to, attempt: 0, retryAt: null, reason: null, exit,
    told: hello.state,
  };
  effects.push({ type: "send-size" });
  // Whatever an earlier connection still has in the queue is replay as well, so even an empty replay ends in a mark.
  effects.push({ type: "mark", offset });
  return [next, effects];
}

/** An end that came before is over with this state. */
function isBegun(told: string): boolean {
  return told === "running" || told === "starting";
}

function onGap(state: State, from: number, to: number): Step {
  const start = Math.max(state.offset ?? from, Math.min(from, to));
  const missed = to - start;
  const effects: Effect[] = missed > 0 ? [{ type: "show-gap", bytes: missed }] : [];
  effects.push({ type: "mark", offset: to });
  return [{ ...state, offset: Math.max(to, 0), missedBytes: state.missedBytes + Math.max(0, missed) }, effects];
}

function onOutput(state: State, { offset, bytes }: Output): Step {
  const expected = state.offset ?? offset;
  const end = offset + bytes.length;
  if (end <= expected) return [state, []];
  const effects: Effect[] = [];
  let missedBytes = state.missedBytes;
  if (offset > expected) {
    missedBytes += offset - expected;
    effects.push({ type: "show-gap", bytes: offset - expected });
  }
  const fresh = offset < expected ? bytes.subarray(expected - offset) : bytes;
  effects.push({ type: "write", bytes: fresh, end });
  return [{ ...state, offset: end, missedBytes }, effects];
}

function onLost(state: State, reason: string | null, isFinal: boolean, now: number, chance: number, policy: Policy): Step {
  if (isFinal) return [{ ...state, phase: "refused", retryAt: null, reason }, []];
  const delay = retryDelayMs(state.attempt, chance, policy);
  return [{ ...state, phase: "waiting", attempt: state.attempt + 1, retryAt: now + delay, reason }, []];
}

/** Return the pause before the n-th attempt (from 0): doubled up to the longest, and spread by a fifth. */
export function retryDelayMs(attempt: number, chance: number, policy: Policy): number {
  const base = Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** Math.min(attempt, 16));
  return Math.round(base * (0.8 + 0.4 * chance));
}

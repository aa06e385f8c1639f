/** How tries of steps ended, in words, and what of them is asked for; pure. */
import type { AttemptOutcome, StepAttempt } from "../api/types";
import type { Words } from "../layout/tone";
import { formatDuration } from "../layout/words";

export interface Asked {
  container: string;
  step: string | null;
  outcome: AttemptOutcome | null;
  code: string;
  since: Since | null;
}

const OUTCOMES: Readonly<Record<AttemptOutcome, Words>> = {
  done: { label: "Done", tone: "quiet", meaning: "It brought about what it should." },
  failed: { label: "Failed", tone: "bad", meaning: "It is tried again by itself, ever more slowly." },
  waited: { label: "Waited", tone: "warn", meaning: "For its turn, or for a system that was away. That is no failure." },
};
export const OUTCOME_CHOICES = (Object.keys(OUTCOMES) as AttemptOutcome[]).map((value) => ({ value, label: OUTCOMES[value].label }));

const SPANS = { "15m": ["Last 15 minutes", 15], "1h": ["Last hour", 60], "1d": ["Last day", 24 * 60], "7d": ["Last week", 7 * 24 * 60] } as const;
export type Since = keyof typeof SPANS;
export const SINCE_CHOICES = (Object.keys(SPANS) as Since[]).map((value) => ({ value, label: SPANS[value][0] }));

export function describeOutcome(outcome: AttemptOutcome): Words {
  return OUTCOMES[outcome];
}

/** Read from an address what is asked for; what it says that nobody could ask for is left out. */
export function readAsked(parameters: URLSearchParams): Asked {
  const outcome = parameters.get("outcome") ?? "";
  const since = parameters.get("since") ?? "";
  const step = parameters.get("step") ?? "";
  return {
    container: readNumber(parameters.get("container") ?? ""),
    step: /^[a-z][a-z0-9-]{0,63}$/.test(step) ? step : null,
    outcome: Object.hasOwn(OUTCOMES, outcome) ? (outcome as AttemptOutcome) : null,
    code: readCode(parameters.get("code") ?? ""),
    since: Object.hasOwn(SPANS, since) ? (since as Since) : null,
  };
}

/** Of what was typed, what the number of a container can be. */
export function readNumber(text: string): string {
  return text.replace(/\D/g, "").replace(/^0+/, "").slice(0, 9);
}

/** Of what was typed, what a code can be. */
export function readCode(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9_]/g, "").replace(/^[^a-z]+/, "").slice(0, 64);
}

/** Return the query of a page as of `nowMs`. */
export function queryOf({ container, step, outcome, code, since }: Asked, nowMs: number) {
  return {
    ...(container ? { container: Number(container) } : {}),
    ...(step ? { step } : {}),
    ...(outcome ? { outcome } : {}),
    ...(code ? { code } : {}),
    ...(since ? { since: new Date(nowMs - SPANS[since][1] * 60_000).toISOString() } : {}),
  };
}

/** "3rd try, 2.1 s"; a first try is not counted. */
export function tellTry({ attempt, durationMs }: StepAttempt): string {
  const tries = attempt > 1 ? `${ordinal(attempt)} try` : "";
  return [tries, durationMs === null ? "" : formatDuration(durationMs)].filter(Boolean).join(", ");
}

function ordinal(value: number): string {
  const teen = value % 100 >= 11 && value % 100 <= 13;
  return `${value}${teen ? "th" : (["th", "st", "nd", "rd"][value % 10] ?? "th")}`;
}

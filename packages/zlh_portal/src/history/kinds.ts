/** Kinds of what happens in a container, in words and colours; pure. Agents of later versions send others. */
import type { HistoryEntry } from "../api/types";
import type { Tone } from "../layout/tone";

export interface KindWords {
  label: string;
  tone: Tone;
}

const BAD = /crash|fail|error|lost|out_of_memory|oom|given_up|refused|corrupt/;
const WARN = /waiting|backoff|slow|not_answering|hung|hang|skipped|overdue|killed|unverified|retr/;
const GOOD = /started|ready|installed|recovered|answer|online|verified/;
const QUIET = /stopped|ended|exited|closed|removed|deleted|opened|changed/;

/** Return how an entry is told: by the last word of its kind, and by the code of its reason where it has one. */
export function describeKind({ kind, data }: Pick<HistoryEntry, "kind" | "data">): KindWords {
  const label = capitalize(kind.replaceAll(/[._]+/g, " ").trim()) || "Event";
  const what = kind.slice(kind.indexOf(".") + 1);
  const told = [what, data["reason"], data["code"]].filter((part) => typeof part === "string").join(" ");
  return { label, tone: toneOf(told) };
}

function toneOf(told: string): Tone {
  if (BAD.test(told)) return "bad";
  if (WARN.test(told)) return "warn";
  if (QUIET.test(told)) return "quiet";
  return GOOD.test(told) ? "good" : "quiet";
}

/** Return the names that entries are about, sorted. */
export function subjectsOf(entries: readonly HistoryEntry[]): string[] {
  return [...new Set(entries.flatMap(({ subject }) => (subject === null ? [] : [subject])))].sort();
}

/** Return those about one name; null stands for all. */
export function filterEntries(entries: readonly HistoryEntry[], subject: string | null): HistoryEntry[] {
  return subject === null ? [...entries] : entries.filter((entry) => entry.subject === subject);
}

/** Return an entry as an event of the live stream carries it, or null where it is none. */
export function parseEntry(value: unknown): HistoryEntry | null {
  if (typeof value !== "object" || value === null) return null;
  const { id, at, kind, subject, message, data } = value as Record<string, unknown>;
  if (typeof id !== "string" || typeof at !== "string" || typeof kind !== "string" || typeof message !== "string") return null;
  const facts = typeof data === "object" && data !== null && !Array.isArray(data) ? (data as HistoryEntry["data"]) : {};
  return { id, at, kind, subject: typeof subject === "string" ? subject : null, message, data: facts };
}

function capitalize(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

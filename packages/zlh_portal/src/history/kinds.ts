/** Kinds of what happens in a container, in words and colours; pure. Agents of later versions send others. */
import type { HistoryEntry } from "../api/types";
import type { Tone } from "../layout/tone";
import { capitalize } from "../layout/words";

interface KindWords {
  label: string;
  tone: Tone;
}

const TONES: Readonly<Record<string, Tone>> = {
  "process.started": "good", "process.found": "good", "process.ready": "good", "process.recovered": "good",
  "process.killed": "warn", "process.hung": "warn", "process.start_slow": "warn", "process.restart_scheduled": "warn",
  "process.start_failed": "bad", "process.gave_up": "bad",
  "runtime.installed": "good", "runtime.install_failed": "bad", "runtime.upgraded": "good", "runtime.verified": "good",
  "runtime.rolled_back": "warn", "runtime.changed": "bad", "agent.started": "good", "agent.updated": "good", "agent.update_undone": "bad",
  "game.installed": "good", "game.version_changed": "good", "game.placed_anew": "good", "game.restored": "warn", "game.backed_up": "good", "game.verified": "good", "game.changed": "bad",
  "name.broken": "bad", "name.mended": "good", "route.edited": "warn", "records.edited": "warn",
  "mods.changed": "good", "mods.rolled_back": "warn",
  "port.expired": "quiet",
  "shells.command_foreign": "warn", "shells.variable_refused": "warn", "shells.not_written": "bad", "shells.not_reloaded": "warn",
};

/** Return how an entry is told. */
export function describeKind({ kind, data }: Pick<HistoryEntry, "kind" | "data">): KindWords {
  const label = capitalize(kind.replaceAll(/[._]+/g, " ").trim()) || "Event";
  if (kind === "process.exited") return { label, tone: hasCrashed(data) ? "bad" : "quiet" };
  return { label, tone: TONES[kind.replace(/^addon\./, "runtime.")] ?? (/(^|[._])(failed|lost)$/.test(kind) ? "bad" : "quiet") };
}

/** An end that nobody asked for, and that was no success. */
function hasCrashed({ wasAsked, code }: HistoryEntry["data"]): boolean {
  return wasAsked === false && code !== 0;
}

/** Return the names that entries can be about, sorted. An agent may send one without a letter, which nothing can be chosen by. */
export function choicesOf(processes: readonly { name: string }[], entries: readonly HistoryEntry[]): string[] {
  const names = [...processes.map(({ name }) => name), ...entries.flatMap(({ subject }) => subject ?? [])];
  return [...new Set(names)].filter((name) => name !== "").sort();
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

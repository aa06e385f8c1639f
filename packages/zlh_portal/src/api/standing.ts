/** What the answers so far tell about the way to the API, the session, and the version of the portal; one for a page. */
import { useSyncExternalStore } from "react";

export interface Standing {
  /** When the API has last answered as itself, by the visitor's clock; null for never. */
  answeredAtMs: number | null;
  /** Calls in a row that reached nothing, or something that is not the API. */
  failures: number;
  /** Somebody was signed in on this page, and is no more. What they see and have typed stays until they are back. */
  hasEnded: boolean;
  /** The portal's files on the server are others than those of this page. */
  isReplaced: boolean;
}

export const FIRST: Standing = { answeredAtMs: null, failures: 0, hasEnded: false, isReplaced: false };

export type Told = { type: "answer"; nowMs: number } | { type: "no-answer" } | { type: "ended" } | { type: "signed-in" } | { type: "replaced" };

/** Return what holds once this is known too. Pure. */
export function learn(standing: Standing, told: Told): Standing {
  switch (told.type) {
    case "answer":
      return { ...standing, answeredAtMs: told.nowMs, failures: 0 };
    case "no-answer":
      return { ...standing, failures: standing.failures + 1 };
    case "ended":
      return { ...standing, hasEnded: true };
    case "signed-in":
      return { ...standing, hasEnded: false };
    case "replaced":
      return { ...standing, isReplaced: true };
  }
}

const LONGEST_MS = 15_000;

/** Return after how long the API is asked again whether it is back: longer with each failure. Pure. */
export function probeDelayMs(failures: number): number {
  return Math.min(LONGEST_MS, 1_000 * 2 ** Math.min(failures - 1, 10));
}

let standing = FIRST;
const watchers = new Set<() => void>();

export function tell(told: Told): void {
  standing = learn(standing, told);
  watchers.forEach((watcher) => watcher());
}

export function currentStanding(): Standing {
  return standing;
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** Return a part of what holds; who asks is shown anew when that part is another one. */
export function useStanding<Part extends string | number | boolean | null>(pick: (standing: Standing) => Part): Part {
  return useSyncExternalStore(watch, () => pick(standing));
}

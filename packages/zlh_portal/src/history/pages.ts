/** Pages of a history that grows at its new end while one reads; pure. */
import type { HistoryEntry } from "../api/types";

export interface Page {
  items: HistoryEntry[];
  next?: string;
}

/** Return the pages with an entry that has just happened; one that is there already changes nothing. */
export function addNewest<T extends { pages: Page[] }>(history: T, entry: HistoryEntry): T {
  const [first, ...rest] = history.pages;
  if (!first || history.pages.some(({ items }) => items.some(({ id }) => id === entry.id))) return history;
  const items = [entry, ...first.items].sort((a, b) => Number(b.id) - Number(a.id));
  return { ...history, pages: [{ ...first, items }, ...rest] };
}

/** Return all entries once each: a page that was asked for anew overlaps the next one. */
export function joinPages(pages: readonly Page[]): HistoryEntry[] {
  const seen = new Set<string>();
  return pages.flatMap(({ items }) => items).filter(({ id }) => !seen.has(id) && seen.add(id));
}

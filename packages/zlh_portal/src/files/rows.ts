/** Which rows of a long list are drawn, and how entries are ordered and told; pure. */
import type { FileEntry, FileSort } from "../api/types";

/** The API sorts by all of them but rights, by which the page does once it has the whole folder. */
export type SortBy = FileSort | "rights";

export interface Order {
  by: SortBy;
  descending: boolean;
}

export const BY_NAME: Order = { by: "name", descending: false };

/** Return the order after somebody has chosen a column: the same one turns round. */
export function turnOrder(order: Order, by: SortBy): Order {
  return order.by === by ? { by, descending: !order.descending } : { by, descending: by === "size" || by === "modified" };
}

/** Return the first row to draw and the one after the last. */
export function rowsInView(scrollTop: number, height: number, rowHeight: number, count: number, beyond = 8): [number, number] {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - beyond);
  const end = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + beyond);
  return [Math.min(first, end), end];
}

/** Return where to scroll so that a row is in view; where it is already, nothing moves. */
export function scrollToRow(row: number, scrollTop: number, height: number, rowHeight: number): number {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  return top + rowHeight > scrollTop + height ? top + rowHeight - height : scrollTop;
}

/** Return all entries of some pages, each once: a folder that changes while one reads may name one twice. */
export function joinEntries(pages: readonly { entries: readonly FileEntry[] }[]): FileEntry[] {
  const seen = new Set<string>();
  return pages.flatMap(({ entries }) => entries.filter(({ name }) => !seen.has(name) && seen.add(name)));
}

/** Tell whether the last of some pages has a name that none before it has. */
export function tellsNew(pages: readonly { entries: readonly FileEntry[] }[]): boolean {
  return joinEntries(pages).length > joinEntries(pages.slice(0, -1)).length;
}

/** Return a whole folder by rights; folders first, names break a tie. */
export function sortByRights(entries: readonly FileEntry[], descending: boolean): FileEntry[] {
  const turn = descending ? -1 : 1;
  return [...entries].sort((a, b) => Number(b.kind === "dir") - Number(a.kind === "dir") || turn * compare(a.mode, b.mode) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** "3 files and 1 folder". */
export function countEntries(entries: readonly Pick<FileEntry, "kind">[]): string {
  const folders = entries.filter(({ kind }) => kind === "dir").length;
  const files = entries.length - folders;
  const parts = [countOf(files, "file"), countOf(folders, "folder")].filter((part) => part !== null);
  return parts.length > 0 ? parts.join(" and ") : "nothing";
}

/** "1 file", "1,204 files"; null for none. */
export function countOf(count: number, what: string): string | null {
  return count === 0 ? null : `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

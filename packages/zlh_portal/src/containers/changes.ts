/**
 * What becomes known of containers while an older answer about them is on its way: the live stream, and the answers to acts,
 * are faster than a list of thousands, which would bring back what was before them.
 */
import type { ContainerStatus } from "../api/types";

/** By number; null is one that was deleted. */
export type Changes = Map<number, ContainerStatus | null>;

/** Return an answer with what became known since it was asked for. Pure. */
export function applyChanges(items: readonly ContainerStatus[], since: ReadonlyMap<number, ContainerStatus | null>): ContainerStatus[] {
  const noted = [...since.values()].filter((status) => status !== null);
  return [...items.filter(({ vmid }) => !since.has(vmid)), ...noted];
}

const watched = new Set<Changes>();

/** Ask for something, and hold meanwhile what becomes known. */
export async function withChanges<T>(ask: (since: Changes) => Promise<T>): Promise<T> {
  const since: Changes = new Map();
  watched.add(since);
  try {
    return await ask(since);
  } finally {
    watched.delete(since);
  }
}

/** One container is so now, or is gone. */
export function noteChange(vmid: number, status: ContainerStatus | null): void {
  watched.forEach((since) => since.set(vmid, status));
}

/** Which containers a list shows; pure. */
import type { ContainerStatus } from "../api/types";
import { findTroubled } from "../processes/states";
import { describeLifecycle, describeRuntimes, findTroubles } from "./states";

export const GROUPS = ["all", "running", "busy", "attention", "stopped"] as const;
export type Group = (typeof GROUPS)[number];

export function readGroup(text: string | null): Group {
  return GROUPS.find((group) => group === text) ?? "all";
}

/** Return the group that a container is counted in. */
function groupOf(status: ContainerStatus): Exclude<Group, "all"> {
  switch (status.lifecycle) {
    case "error":
    case "backoff":
      return "attention";
    case "running":
      return findTroubles(status).length > 0 || status.provisioningError || findTroubled(status.processes).length > 0 ? "attention" : "running";
    case "stopped":
      return "stopped";
    default:
      return status.provisioningError ? "attention" : "busy";
  }
}

/** Return how many containers each group has. */
export function countGroups(items: readonly ContainerStatus[]): Record<Group, number> {
  const counts: Record<Group, number> = { all: items.length, running: 0, busy: 0, attention: 0, stopped: 0 };
  for (const item of items) counts[groupOf(item)] += 1;
  return counts;
}

/** Return the containers of one customer; null stands for all. */
export function ofCustomer(items: readonly ContainerStatus[], customer: string | null): ContainerStatus[] {
  return customer === null ? [...items] : items.filter(({ customerId }) => customerId === customer);
}

/** Return the containers of a group that match every word of `search`, newest first. */
export function filterContainers(items: readonly ContainerStatus[], group: Group, search: string): ContainerStatus[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return items
    .filter((item) => group === "all" || groupOf(item) === group)
    .filter((item) => {
      if (words.length === 0) return true;
      const text = textOf(item);
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => compare(b.createdAt, a.createdAt) || b.vmid - a.vmid);
}

// A container that changes is another object.
const texts = new WeakMap<ContainerStatus, string>();

/** Return what a container is found by, put together once. */
function textOf(item: ContainerStatus): string {
  let text = texts.get(item);
  if (text === undefined) {
    text = [item.name, item.vmid, item.kind, item.hostname, describeRuntimes(item), describeLifecycle(item).label].join(" ").toLowerCase();
    texts.set(item, text);
  }
  return text;
}

/** By their characters alone: to compare moments as a language does takes fifty times as long. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

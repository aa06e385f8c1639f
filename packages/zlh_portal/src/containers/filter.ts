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
export function groupOf(status: ContainerStatus): Exclude<Group, "all"> {
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
      const haystack = [item.name, item.vmid, item.kind, item.hostname, describeRuntimes(item), describeLifecycle(item).label]
        .join(" ")
        .toLowerCase();
      return words.every((word) => haystack.includes(word));
    })
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt) || b.vmid - a.vmid);
}

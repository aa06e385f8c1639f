/** In which order operators see containers; pure. */
import type { ContainerStatus } from "../api/types";
import { describeConnection, describeLifecycle } from "../containers/states";

export const COLUMNS = { vmid: "Number", name: "Name", customer: "Customer", kind: "Kind", state: "State", connection: "Agent", created: "Created" } as const;
export type Column = keyof typeof COLUMNS;
export type Direction = "asc" | "desc";

export interface Order {
  column: Column;
  direction: Direction;
}

const FIRST: Order = { column: "created", direction: "desc" };

/** Read the order from an address, such as `name` or `-created`; the newest come first where it says nothing that is known. */
export function readOrder(text: string | null): Order {
  const column = text?.replace(/^-/, "") ?? "";
  return Object.hasOwn(COLUMNS, column) ? { column: column as Column, direction: text?.startsWith("-") ? "desc" : "asc" } : FIRST;
}

export function writeOrder({ column, direction }: Order): string {
  return direction === "desc" ? `-${column}` : column;
}

/** The order after a column's head was pressed: that column, and the other way round where it was in order already. */
export function turn(order: Order, column: Column): Order {
  return { column, direction: order.column === column && order.direction === "asc" ? "desc" : "asc" };
}

/** Return the containers in order; equal ones by their numbers, so that none changes its place by itself. */
export function sortContainers(items: readonly ContainerStatus[], { column, direction }: Order, customers: ReadonlyMap<string, string>): ContainerStatus[] {
  const sign = direction === "asc" ? 1 : -1;
  const keyed = items.map((item) => ({ item, key: keyOf(item, column, customers) }));
  keyed.sort((a, b) => sign * compare(a.key, b.key) || a.item.vmid - b.item.vmid);
  return keyed.map(({ item }) => item);
}

function keyOf(item: ContainerStatus, column: Column, customers: ReadonlyMap<string, string>): string | number {
  switch (column) {
    case "vmid":
      return item.vmid;
    case "name":
      return item.name.toLowerCase();
    case "customer":
      return (customers.get(item.customerId) ?? item.customerId).toLowerCase();
    case "kind":
      return item.kind;
    case "state":
      return describeLifecycle(item).label;
    case "connection":
      return describeConnection(item).label;
    case "created":
      return Date.parse(item.createdAt);
  }
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

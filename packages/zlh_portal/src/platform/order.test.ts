import { describe, expect, it } from "vitest";
import { sampleStatus } from "../containers/sample";
import { readOrder, sortContainers, turn, writeOrder } from "./order";

const CUSTOMERS = new Map([["a", "Zebra"], ["b", "ant"]]);
const ITEMS = [
  sampleStatus({ vmid: 103, name: "b", customerId: "a", createdAt: "2026-01-03T00:00:00Z" }),
  sampleStatus({ vmid: 101, name: "C", customerId: "b", createdAt: "2026-01-02T00:00:00Z" }),
  sampleStatus({ vmid: 102, name: "a", customerId: "a", createdAt: "2026-01-01T00:00:00Z" }),
];
const numbers = (text: string | null) => sortContainers(ITEMS, readOrder(text), CUSTOMERS).map(({ vmid }) => vmid);

describe("the order of containers", () => {
  it("is the newest first, where the address says nothing that is known", () => {
    expect(numbers(null)).toEqual([103, 101, 102]);
    expect(numbers("constructor")).toEqual([103, 101, 102]);
  });
  it("goes by names without regard to case", () => {
    expect(numbers("name")).toEqual([102, 103, 101]);
    expect(numbers("-name")).toEqual([101, 103, 102]);
  });
  it("goes by the names of customers, and among equal ones by number both ways", () => {
    expect(numbers("customer")).toEqual([101, 102, 103]);
    expect(numbers("-customer")).toEqual([102, 103, 101]);
  });
  it("turns round when the same head is pressed again, and survives the address", () => {
    const once = turn(readOrder(null), "name");
    expect(once).toEqual({ column: "name", direction: "asc" });
    expect(readOrder(writeOrder(turn(once, "name")))).toEqual({ column: "name", direction: "desc" });
  });
});

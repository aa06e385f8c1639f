import { expect, it } from "vitest";
import { describeViewers, KEEP, secondsOf, tellTaken } from "./access";

it.each([
  ["public", "a", "Everybody"],
  ["customer", "a", "The team"],
  ["private", "a", "Only you"],
  ["private", "b", "Its publisher alone"],
  ["private", null, "Owners only"],
] as const)("says who may open what is %s and of %j", (visibility, publishedBy, said) => expect(describeViewers({ visibility, publishedBy }, { user: { id: "a" } })).toBe(said));

it("says whom a change takes a port from", () => {
  const theirs = { visibility: "private", publishedBy: "b" } as const;
  expect(tellTaken(theirs, "private", "a")).toMatch(/opens for them no more/);
  expect(tellTaken(theirs, "customer", "a")).toBeNull();
  expect(tellTaken({ ...theirs, publishedBy: "a" }, "private", "a")).toBeNull();
  expect(tellTaken({ ...theirs, publishedBy: null }, "private", "a")).toBeNull();
  expect(tellTaken({ visibility: "customer", publishedBy: "b" }, "private", "a")).toBeNull();
  expect(tellTaken(null, "private", "a")).toBeNull();
});
it("asks for what was chosen", () => expect([secondsOf("hour", null, 0), secondsOf("never", "2026-01-01T00:00:00Z", 0)]).toEqual([3600, null]));
it("keeps an end to the second", () => expect(secondsOf(KEEP, new Date(90_000).toISOString(), 0)).toBe(90));
it("keeps nothing that is over", () => expect(secondsOf(KEEP, new Date(0).toISOString(), 50_000)).toBe(60));
it("keeps that there is no end", () => expect(secondsOf(KEEP, null, 0)).toBeNull());

import { expect, it } from "vitest";
import { cameFrom, parseNext } from "./next";

it("goes on to a container's address", () =>
  expect(parseNext(`?next=${encodeURIComponent("/api/access/3000-dev-101?state=ab&path=%2Fx")}`)).toBe("/api/access/3000-dev-101?state=ab&path=%2Fx"));
it.each(["", "?next=", "?next=/containers", "?next=//evil.example/api/access/x?", "?next=https://evil.example", "?next=/api/access/../x?", "?next=/api/access/x?%0a", "?next=/api/access/x?\\", "?next=javascript:alert(1)"])(
  "goes nowhere for %j", (search) => expect(parseNext(search)).toBeNull(),
);

it("goes on to the page that asked", () => {
  expect(cameFrom({ from: "/containers/101/files?open=a", of: null }, "kim")).toBe("/containers/101/files?open=a");
  expect(cameFrom({ from: "/containers/101/files?open=a", of: "kim" }, "kim")).toBe("/containers/101/files?open=a");
});
it("leads nobody to where another person was", () => expect(cameFrom({ from: "/containers/101/files?open=a", of: "olga" }, "kim")).toBe("/"));
it.each([null, undefined, "x", {}, { from: 7 }, { from: "//evil.example" }, { from: "/\\evil.example" }, { from: "https://evil.example" }])(
  "begins at the list for %j", (state) => expect(cameFrom(state, "kim")).toBe("/"),
);

import { expect, it } from "vitest";
import { parseNext } from "./next";

it("goes on to a container's address", () =>
  expect(parseNext(`?next=${encodeURIComponent("/api/access/3000-dev-101?state=ab&path=%2Fx")}`)).toBe("/api/access/3000-dev-101?state=ab&path=%2Fx"));
it.each(["", "?next=", "?next=/containers", "?next=//evil.example/api/access/x?", "?next=https://evil.example", "?next=/api/access/../x?", "?next=/api/access/x?%0a", "?next=/api/access/x?\\", "?next=javascript:alert(1)"])(
  "goes nowhere for %j", (search) => expect(parseNext(search)).toBeNull(),
);

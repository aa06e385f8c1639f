import { expect, it } from "vitest";
import { withParameter } from "./address";

const before = new URLSearchParams("q=a&state=ready");

it.each([
  ["q", "b c", "q=b+c&state=ready"], ["sort", "name", "q=a&state=ready&sort=name"], ["q", "", "state=ready"], ["q", null, "state=ready"], ["sort", null, "q=a&state=ready"],
])("sets %s to %j and leaves the others", (name, value, address) => {
  expect(withParameter(before, name, value).toString()).toBe(address);
  expect(before.toString()).toBe("q=a&state=ready");
});

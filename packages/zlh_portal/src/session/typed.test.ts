import { expect, it } from "vitest";
import { type Field, readTyped, writeTyped } from "./typed";

const field = (over: Partial<Field>): Field => ({ type: "text", value: "typed", labels: [{ textContent: "Name" }], getAttribute: () => null, ...over });

it("keeps what was typed under the names of its fields", () => {
  const typed = readTyped([field({}), field({ type: "textarea", value: "two\nlines", labels: null, getAttribute: () => "Reason" }), field({ labels: [] })]);
  expect(writeTyped(typed)).toBe("Name: typed\nReason: two\nlines\ntyped");
});

it.each(["password", "checkbox", "hidden", "file"])("keeps nothing of a field for %s", (type) => expect(readTyped([field({ type })])).toEqual([]));

it("keeps nothing of what is empty", () => expect(writeTyped(readTyped([field({ value: " " })]))).toBe(""));

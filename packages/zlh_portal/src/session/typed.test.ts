import { describe, expect, it } from "vitest";
import { type Field, readTyped, readUnsent, type TypedInto, writeTyped } from "./typed";

const field = (over: Partial<Field>): Field => ({ type: "text", value: "typed", labels: [{ textContent: "Name" }], getAttribute: () => null, ...over });

it("keeps what was typed under the names of its fields", () => {
  const typed = readTyped([field({}), field({ type: "textarea", value: "two\nlines", labels: null, getAttribute: () => "Reason" }), field({ labels: [] })]);
  expect(writeTyped(typed)).toBe("Name: typed\nReason: two\nlines\ntyped");
});

it.each(["password", "checkbox", "hidden", "file"])("keeps nothing of a field for %s", (type) => expect(readTyped([field({ type })])).toEqual([]));

it("keeps nothing of what is empty", () => expect(writeTyped(readTyped([field({ value: " " })]))).toBe(""));

describe("readUnsent", () => {
  interface Scope {
    is: "form" | "[data-while-may]";
    fields: (Field & TypedInto)[];
    within?: Scope;
  }
  /** Put a field into a scope; what it is in is found as a document finds it, from the inside. */
  const put = (scope: Scope | undefined, value: string, more: Partial<Field & TypedInto> = {}): Field & TypedInto => {
    const closest = (selectors: string) => {
      for (let each = scope; each; each = each.within) {
        const { fields } = each;
        if (selectors.split(", ").includes(each.is)) return { querySelectorAll: () => fields };
      }
      return null;
    };
    const made = { ...field({ value, labels: null }), isConnected: true, closest, ...more };
    for (let each = scope; each; each = each.within) each.fields.push(made);
    return made;
  };
  const values = (typedInto: TypedInto[]) => readUnsent(typedInto).map(({ value }) => value);

  it("keeps the whole form of a field, and no other", () => {
    const all: Scope = { is: "[data-while-may]", fields: [] };
    const [one, other]: Scope[] = [{ is: "form", fields: [], within: all }, { is: "form", fields: [], within: all }];
    const typed = put(one, "typed");
    put(one, "chosen");
    put(other, "of another form");
    expect(values([typed])).toEqual(["typed", "chosen"]);
  });
  it("keeps what is in no form, and each field once", () => {
    const all: Scope = { is: "[data-while-may]", fields: [] };
    const free = put(all, "free");
    const formed = put({ is: "form", fields: [], within: all }, "formed");
    expect(values([free, formed])).toEqual(["free", "formed"]);
    expect(values([put(undefined, "in a window")])).toEqual(["in a window"]);
  });
  it("keeps nothing of what was sent, whose form is empty or gone", () =>
    expect(values([put({ is: "form", fields: [] }, " "), put({ is: "form", fields: [] }, "sent", { isConnected: false })])).toEqual([]));
});

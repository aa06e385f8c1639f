/** What was typed into a form, by the names of its fields. */

export interface Typed {
  label: string;
  value: string;
}

/** The part of a field that is read here; its label is what it is called for whoever hears it. */
export interface Field {
  type: string;
  value: string;
  labels: ArrayLike<{ textContent: string | null }> | null;
  getAttribute: (name: string) => string | null;
}

/** The part that is read here of a field that somebody has typed into. */
export interface TypedInto {
  isConnected: boolean;
  value: string;
  closest: (selectors: string) => { querySelectorAll: (selectors: string) => ArrayLike<unknown> } | null;
}

const NOT_TYPED = new Set(["password", "checkbox", "radio", "hidden", "file", "submit", "button"]);

/** Return what stands in the fields that somebody types into; passwords are never kept. */
export function readTyped(fields: ArrayLike<unknown>): Typed[] {
  return (Array.from(fields) as Field[]).flatMap((field) => {
    if (NOT_TYPED.has(field.type) || field.value.trim() === "") return [];
    return [{ label: field.getAttribute("aria-label") ?? field.labels?.[0]?.textContent ?? "", value: field.value }];
  });
}

/**
 * Return what stands with the fields that somebody has typed into: in the form of each, else in all that goes with the right, else in
 * itself, such as in a window elsewhere in the document. A form is empty or another one once it was sent.
 */
export function readUnsent(typedInto: Iterable<TypedInto>): Typed[] {
  const unsent = [...typedInto].filter((field) => field.isConnected && field.value.trim() !== "");
  // By its mark and no reference: those are gone before what is hidden is read.
  const beside = unsent.flatMap((field) => Array.from(field.closest("form, [data-while-may]")?.querySelectorAll("input, textarea") ?? [field]));
  return readTyped([...new Set(beside)]);
}

/** Return it as lines to be copied, empty where nothing was typed. */
export function writeTyped(typed: readonly Typed[]): string {
  return typed.map(({ label, value }) => (label === "" ? value : `${label}: ${value}`)).join("\n");
}

/** Which entries of a folder are chosen, and at which one the keyboard is; pure. Entries are known by their names. */

export interface Selection {
  chosen: ReadonlySet<string>;
  /** Where the keyboard is. */
  at: string | null;
  /** Where a range begins. */
  anchor: string | null;
}

export const NOTHING: Selection = { chosen: new Set(), at: null, anchor: null };

export type SelectionEvent =
  | { type: "pick"; name: string; how: "only" | "toggle" | "range" }
  /** The keyboard goes on by so many rows; -Infinity and Infinity are the ends. */
  | { type: "move"; by: number; how: "only" | "range" | "at" }
  | { type: "all" }
  | { type: "none" }
  /** Make sure that a menu is about this one: it alone, unless it is chosen already. */
  | { type: "menu"; name: string }
  /** What one types leads to the next name that begins so. */
  | { type: "type"; beginning: string }
  /** Entries came or went. */
  | { type: "listed" };

/** Return what is chosen next; `names` are all entries in the order in which they are shown. */
export function select(selection: Selection, event: SelectionEvent, names: readonly string[]): Selection {
  switch (event.type) {
    case "pick":
      return pick(selection, event.name, event.how, names);
    case "move":
      return move(selection, event.by, event.how, names);
    case "all":
      return { ...selection, chosen: new Set(names), at: selection.at ?? names[0] ?? null };
    case "none":
      return { ...selection, chosen: new Set(), anchor: selection.at };
    case "menu":
      return selection.chosen.has(event.name) ? { ...selection, at: event.name } : only(event.name);
    case "type":
      return typeAhead(selection, event.beginning, names);
    case "listed":
      return prune(selection, names);
  }
}

function only(name: string): Selection {
  return { chosen: new Set([name]), at: name, anchor: name };
}

function pick(selection: Selection, name: string, how: "only" | "toggle" | "range", names: readonly string[]): Selection {
  if (how === "only") return only(name);
  if (how === "range") return range(selection, name, names);
  const chosen = new Set(selection.chosen);
  if (!chosen.delete(name)) chosen.add(name);
  return { chosen, at: name, anchor: name };
}

function range({ anchor }: Selection, name: string, names: readonly string[]): Selection {
  const from = Math.max(0, anchor === null ? 0 : names.indexOf(anchor));
  const to = names.indexOf(name);
  return { chosen: new Set(names.slice(Math.min(from, to), Math.max(from, to) + 1)), at: name, anchor: names[from] ?? name };
}

function move(selection: Selection, by: number, how: "only" | "range" | "at", names: readonly string[]): Selection {
  if (names.length === 0) return selection;
  const here = selection.at === null ? -1 : names.indexOf(selection.at);
  const wanted = here === -1 ? (by === Infinity ? Infinity : 0) : here + by;
  const name = names[Math.min(names.length - 1, Math.max(0, wanted))] ?? null;
  if (name === null) return selection;
  if (how === "at") return { ...selection, at: name };
  return how === "only" ? only(name) : range(selection, name, names);
}

function typeAhead(selection: Selection, beginning: string, names: readonly string[]): Selection {
  const wanted = beginning.toLowerCase();
  const here = selection.at === null ? -1 : names.indexOf(selection.at);
  // One letter leads on from where one is; a longer beginning may be that of the same name.
  const from = here + (wanted.length === 1 ? 1 : 0);
  const round = [...names.slice(Math.max(0, from)), ...names.slice(0, Math.max(0, from))];
  const found = round.find((name) => name.toLowerCase().startsWith(wanted));
  return found === undefined ? selection : only(found);
}

function prune(selection: Selection, names: readonly string[]): Selection {
  const left = new Set(names);
  const chosen = new Set([...selection.chosen].filter((name) => left.has(name)));
  const at = selection.at !== null && left.has(selection.at) ? selection.at : null;
  const isSame = chosen.size === selection.chosen.size && at === selection.at;
  return isSame ? selection : { chosen, at, anchor: selection.anchor !== null && left.has(selection.anchor) ? selection.anchor : at };
}

/** Which key does what, as a pure machine: single keys on a page, pairs such as "g c", and one that opens the palette. */

export type Place = "page" | "field" | "program" | "dialog";

/** A press, and where it came from: a field takes letters, a program (terminal, editor) takes everything. */
export interface Press {
  key: string;
  hasCommand: boolean;
  hasAlt: boolean;
  place: Place;
  /** Milliseconds of one clock. */
  at: number;
}

export type Act = "palette" | "help" | "filter" | { go: string };

/** The first key of a pair, and when it was pressed. */
export interface Pending {
  key: string;
  at: number;
}

export interface Step {
  act: Act | null;
  pending: Pending | null;
}

/** How long the second key of a pair is waited for. */
export const PAIR_MS = 1_500;

export interface Binding {
  keys: string;
  meaning: string;
  act: Act;
}

export interface BindingGroup {
  title: string;
  bindings: readonly Binding[];
}

const EVERYWHERE: BindingGroup = {
  title: "Everywhere",
  bindings: [
    { keys: "mod+k", meaning: "Find a container, a page or an act", act: "palette" },
    { keys: "/", meaning: "Filter what the page lists", act: "filter" },
    { keys: "?", meaning: "Show these keys", act: "help" },
    { keys: "c", meaning: "Create a container", act: { go: "/containers/new" } },
    { keys: "g c", meaning: "Containers", act: { go: "/" } },
    { keys: "g k", meaning: "Catalog", act: { go: "/catalog" } },
    { keys: "g u", meaning: "Customers", act: { go: "/customers" } },
    { keys: "g a", meaning: "Account", act: { go: "/account" } },
  ],
};

const OPERATORS: BindingGroup = { title: "Operators", bindings: [{ keys: "g p", meaning: "Platform", act: { go: "/platform" } }] };

const TABS: readonly (readonly [string, string, string])[] = [
  ["g o", "", "Overview"], ["g t", "/terminal", "Terminal"], ["g f", "/files", "Files"], ["g r", "/processes", "Processes"], ["g m", "/metrics", "Metrics"],
  ["g h", "/history", "History"], ["g s", "/settings", "Settings"],
];

/** Return what keys there are: for operators, and at the pages of one container, there are more. */
export function findBindings({ vmid, isOperator }: { vmid: number | null; isOperator: boolean }): BindingGroup[] {
  const ofContainer: BindingGroup[] =
    vmid === null ? [] : [{ title: `Container ${vmid}`, bindings: TABS.map(([keys, path, meaning]) => ({ keys, meaning, act: { go: `/containers/${vmid}${path}` } })) }];
  return [EVERYWHERE, ...(isOperator ? [OPERATORS] : []), ...ofContainer];
}

/** Return what a press does, and what is waited for then. */
export function takePress(pending: Pending | null, press: Press, groups: readonly BindingGroup[]): Step {
  const isPalette = press.hasCommand && !press.hasAlt && press.key.toLowerCase() === "k";
  if (isPalette) return { act: press.place === "page" || press.place === "field" ? "palette" : null, pending: null };
  if (press.hasCommand || press.hasAlt || press.place !== "page") return { act: null, pending: null };
  const bindings = groups.flatMap((group) => group.bindings);
  if (pending !== null && press.at - pending.at <= PAIR_MS) return { act: find(bindings, `${pending.key} ${press.key}`), pending: null };
  const isFirst = bindings.some(({ keys }) => keys.startsWith(`${press.key} `));
  return isFirst ? { act: null, pending: { key: press.key, at: press.at } } : { act: find(bindings, press.key), pending: null };
}

function find(bindings: readonly Binding[], keys: string): Act | null {
  return bindings.find((binding) => binding.keys === keys)?.act ?? null;
}

/** Return the words on the keys of a binding, one for each key that is pressed in turn. */
export function nameKeys(keys: string, isApple: boolean): string[] {
  return keys.split(" ").map((key) => (key === "mod+k" ? (isApple ? "⌘ K" : "Ctrl K") : key));
}

/** What the address bar says about where one is among the files; pure. Such an address can be handed on. */

export interface Address {
  /** Null for the default one. */
  root: string | null;
  path: string;
  /** The file that is open in the editor. */
  open: string | null;
  line: number | null;
}

export function parseAddress(query: URLSearchParams): Address {
  const line = Number(query.get("line") ?? NaN);
  return { root: query.get("root"), path: clean(query.get("path") ?? ""), open: query.has("open") ? clean(query.get("open") ?? "") : null, line: Number.isInteger(line) && line > 0 ? line : null };
}

export function renderAddress({ root, path, open, line }: Address): string {
  const query = new URLSearchParams();
  if (root !== null) query.set("root", root);
  if (path !== "") query.set("path", path);
  if (open !== null) query.set("open", open);
  if (open !== null && line !== null) query.set("line", String(line));
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** A path as calls take it; one that would climb is left as it is, for the API to refuse. */
function clean(path: string): string {
  return path.split("/").filter((name) => name !== "" && name !== ".").join("/");
}

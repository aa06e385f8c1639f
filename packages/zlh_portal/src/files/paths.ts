/** Paths below a root: names with slashes between them, "" for the root itself; pure. */
import { renderOtherName } from "./names";

/** Return the path of a name in a folder. */
export function joinPath(folder: string, name: string): string {
  return folder === "" ? name : name === "" ? folder : `${folder}/${name}`;
}

/** Return the folder that a path is in; the root's is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Return the last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Return the folders on the way to a path, the outermost first. */
export function crumbsOf(path: string): { name: string; path: string }[] {
  const names = path === "" ? [] : path.split("/");
  return names.map((name, index) => ({ name, path: names.slice(0, index + 1).join("/") }));
}

/** Return a path that somebody typed, from `folder` or with a leading slash from the root; null where it leads out of it. */
export function resolvePath(folder: string, typed: string): string | null {
  const start = typed.startsWith("/") || folder === "" ? [] : folder.split("/");
  const names = [...start];
  for (const name of typed.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) return null;
  }
  return names.join("/");
}

/** Tell whether `path` is `folder` or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`);
}

/** Return the n-th other path for what cannot have its own, in the same folder. */
export function renderOtherPath(path: string, n: number): string {
  return joinPath(parentOf(path), renderOtherName(nameOf(path), n));
}

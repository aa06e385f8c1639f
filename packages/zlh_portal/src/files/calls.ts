/** Every call on the files of a container. What is raw (contents, archives) is fetched or linked by its address. */
import { parseProblem, unreachable } from "../api/problem";
import type { FileEntry, FileOperation, FileRoots, FileSearch, FileUpload, Folder, Overwrite, ArchiveFormat } from "./contract";

const TIMEOUT_MS = 60_000;
type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** One root of one container: what a path is relative to. */
export interface Place {
  vmid: number;
  root: string;
}

function addressOf(vmid: number, call: string, query: Query = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value as string | number | boolean]) asked.append(name, String(one));
  }
  const text = asked.toString();
  return `/api/containers/${vmid}/files${call}${text === "" ? "" : `?${text}`}`;
}

/** Call, and throw an ApiError for whatever is no success. */
export async function callFiles(url: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...init, signal: AbortSignal.any([...(init.signal ? [init.signal] : []), AbortSignal.timeout(TIMEOUT_MS)]) });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw unreachable();
  }
  if (answer.ok) return answer;
  throw parseProblem(answer.status, await answer.json().catch(() => null));
}

async function take<T>(url: string, init: RequestInit = {}): Promise<T> {
  return (await (await callFiles(url, init)).json()) as T;
}

function post<T>(vmid: number, call: string, body: unknown): Promise<T> {
  return take(addressOf(vmid, call), { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}

export const fetchRoots = (vmid: number, signal: AbortSignal): Promise<FileRoots> => take(addressOf(vmid, "/roots"), { signal });

export interface Listing {
  path: string;
  after: string | undefined;
  limit: number;
  sort: string;
  descending: boolean;
  hidden: boolean;
}

export const fetchFolder = ({ vmid, root }: Place, listing: Listing, signal: AbortSignal): Promise<Folder> =>
  take(addressOf(vmid, "", { root, foldersFirst: true, ...listing }), { signal });

/** Of a link: of what it leads to. */
export const fetchEntry = ({ vmid, root }: Place, path: string, signal?: AbortSignal): Promise<FileEntry> =>
  take(addressOf(vmid, "/stat", { root, path, follow: true }), signal ? { signal } : {});

export const makeFolder = ({ vmid, root }: Place, path: string, parents = false): Promise<FileEntry> => post(vmid, "/mkdir", { root, path, parents });
export const moveFile = ({ vmid, root }: Place, path: string, to: string, replace = false): Promise<FileEntry> => post(vmid, "/move", { root, path, to, replace });
export const changeMode = ({ vmid, root }: Place, path: string, mode: string): Promise<FileEntry> => post(vmid, "/chmod", { root, path, mode });
export const copyFile = ({ vmid, root }: Place, path: string, to: string, overwrite: Overwrite): Promise<FileOperation> => post(vmid, "/copy", { root, path, to, overwrite });
export const archiveFiles = ({ vmid, root }: Place, paths: readonly string[], to: string, format: ArchiveFormat, replace: boolean): Promise<FileOperation> =>
  post(vmid, "/archive", { root, paths, to, format, replace });
export const extractArchive = ({ vmid, root }: Place, path: string, to: string, overwrite: Overwrite): Promise<FileOperation> => post(vmid, "/extract", { root, path, to, overwrite });
export const checksumFile = ({ vmid, root }: Place, path: string): Promise<FileOperation> => post(vmid, "/checksum", { root, path });
export const measureFolder = ({ vmid, root }: Place, path: string): Promise<FileOperation> => post(vmid, "/measure", { root, path });
export const deleteFile = ({ vmid, root }: Place, path: string): Promise<FileOperation> => take(addressOf(vmid, "", { root, path, recursive: true }), { method: "DELETE" });

export const fetchOperations = async (vmid: number, signal: AbortSignal): Promise<FileOperation[]> => (await take<{ items: FileOperation[] }>(addressOf(vmid, "/operations"), { signal })).items;
export const fetchOperation = (vmid: number, id: string, signal: AbortSignal): Promise<FileOperation> => take(addressOf(vmid, `/operations/${id}`), { signal });
export const cancelOperation = (vmid: number, id: string): Promise<FileOperation> => take(addressOf(vmid, `/operations/${id}`), { method: "DELETE" });

export interface SearchWish {
  path: string;
  name: string;
  text: string;
  matchCase: boolean;
}

export const searchFiles = ({ vmid, root }: Place, { path, name, text, matchCase }: SearchWish, signal: AbortSignal): Promise<FileSearch> =>
  take(addressOf(vmid, "/search", { root, path, name: name || undefined, text: text || undefined, matchCase, limit: 200 }), { signal });

export const fetchUploads = async (vmid: number, signal: AbortSignal): Promise<FileUpload[]> => (await take<{ items: FileUpload[] }>(addressOf(vmid, "/uploads"), { signal })).items;

export async function discardUpload(vmid: number, id: string): Promise<void> {
  await callFiles(addressOf(vmid, `/uploads/${id}`), { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
}

/** Where the content of a file is; a link to it downloads. */
export const contentAddress = ({ vmid, root }: Place, path: string): string => addressOf(vmid, "/content", { root, path });

/** Where files and folders come from as one archive; a link to it downloads. */
export const archiveAddress = ({ vmid, root }: Place, paths: readonly string[], format: ArchiveFormat): string => addressOf(vmid, "/archive", { root, path: paths, format });

/** What a content replaces: one version alone, nothing at all (`*`), or whatever there is. */
export type Replaces = { version: string } | "nothing" | "anything";

/** Put a whole content in place. */
export function putContent({ vmid, root }: Place, path: string, body: string | Uint8Array<ArrayBuffer>, replaces: Replaces): Promise<FileEntry> {
  const condition: Record<string, string> = replaces === "nothing" ? { "If-None-Match": "*" } : replaces === "anything" ? {} : { "If-Match": `"${replaces.version}"` };
  return take(addressOf(vmid, "/content", { root, path }), { method: "PUT", body, headers: { "Content-Type": "application/octet-stream", ...condition } });
}

/** Return a content with the version that it is of. */
export async function fetchContent({ vmid, root }: Place, path: string, signal?: AbortSignal): Promise<{ bytes: Uint8Array<ArrayBuffer>; version: string }> {
  const answer = await callFiles(addressOf(vmid, "/content", { root, path }), signal ? { signal, cache: "no-store" } : { cache: "no-store" });
  return { bytes: new Uint8Array(await answer.arrayBuffer()), version: /^(?:W\/)?"(.*)"$/.exec(answer.headers.get("ETag") ?? "")?.[1] ?? "" };
}

/** Every call on the files of a container. What the browser takes by itself (contents, archives) is linked by its address. */
import { client, take } from "../api/client";
import type { ArchiveFormat, FileEntry, FileOperation, FileRoots, FileSearch, FileSort, FileUpload, Folder, Overwrite } from "../api/types";

/** One root of one container: what a path is relative to. */
export interface Place {
  vmid: number;
  root: string;
}

export const fetchRoots = (vmid: number, signal: AbortSignal): Promise<FileRoots> => take(client.GET("/api/containers/{vmid}/files/roots", { params: { path: { vmid } }, signal }));

export interface Listing {
  path: string;
  after: string | undefined;
  limit: number;
  sort: FileSort;
  descending: boolean;
  hidden: boolean;
}

export const fetchFolder = ({ vmid, root }: Place, { after, ...listing }: Listing, signal: AbortSignal): Promise<Folder> =>
  take(client.GET("/api/containers/{vmid}/files", { params: { path: { vmid }, query: { root, foldersFirst: true, ...listing, ...(after === undefined ? {} : { after }) } }, signal }));

/** Of a link: of what it leads to. */
export const fetchEntry = ({ vmid, root }: Place, path: string, signal: AbortSignal | null = null): Promise<FileEntry> =>
  take(client.GET("/api/containers/{vmid}/files/stat", { params: { path: { vmid }, query: { root, path, follow: true } }, signal }));

export const makeFolder = ({ vmid, root }: Place, path: string, parents = false): Promise<FileEntry> =>
  take(client.POST("/api/containers/{vmid}/files/mkdir", { params: { path: { vmid } }, body: { root, path, parents } }));

export const moveFile = ({ vmid, root }: Place, path: string, to: string, replace = false): Promise<FileEntry> =>
  take(client.POST("/api/containers/{vmid}/files/move", { params: { path: { vmid } }, body: { root, path, to, replace } }));

export const changeMode = ({ vmid, root }: Place, path: string, mode: string): Promise<FileEntry> =>
  take(client.POST("/api/containers/{vmid}/files/chmod", { params: { path: { vmid } }, body: { root, path, mode } }));

export const copyFile = ({ vmid, root }: Place, path: string, to: string, overwrite: Overwrite): Promise<FileOperation> =>
  take(client.POST("/api/containers/{vmid}/files/copy", { params: { path: { vmid } }, body: { root, path, to, overwrite } }));

export const archiveFiles = ({ vmid, root }: Place, paths: string[], to: string, format: ArchiveFormat, replace: boolean): Promise<FileOperation> =>
  take(client.POST("/api/containers/{vmid}/files/archive", { params: { path: { vmid } }, body: { root, paths, to, format, replace } }));

export const extractArchive = ({ vmid, root }: Place, path: string, to: string, overwrite: Overwrite): Promise<FileOperation> =>
  take(client.POST("/api/containers/{vmid}/files/extract", { params: { path: { vmid } }, body: { root, path, to, overwrite } }));

export const checksumFile = ({ vmid, root }: Place, path: string): Promise<FileOperation> =>
  take(client.POST("/api/containers/{vmid}/files/checksum", { params: { path: { vmid } }, body: { root, path } }));

export const measureFolder = ({ vmid, root }: Place, path: string): Promise<FileOperation> =>
  take(client.POST("/api/containers/{vmid}/files/measure", { params: { path: { vmid } }, body: { root, path } }));

export const deleteFile = ({ vmid, root }: Place, path: string): Promise<FileOperation> =>
  take(client.DELETE("/api/containers/{vmid}/files", { params: { path: { vmid }, query: { root, path, recursive: true } } }));

export const fetchOperations = async (vmid: number, signal: AbortSignal): Promise<FileOperation[]> =>
  (await take(client.GET("/api/containers/{vmid}/files/operations", { params: { path: { vmid } }, signal }))).items;

export const fetchOperation = (vmid: number, operation: string, signal: AbortSignal): Promise<FileOperation> =>
  take(client.GET("/api/containers/{vmid}/files/operations/{operation}", { params: { path: { vmid, operation } }, signal }));

export const cancelOperation = (vmid: number, operation: string): Promise<FileOperation> =>
  take(client.DELETE("/api/containers/{vmid}/files/operations/{operation}", { params: { path: { vmid, operation } } }));

export interface SearchWish {
  path: string;
  name: string;
  text: string;
  matchCase: boolean;
}

export const searchFiles = ({ vmid, root }: Place, { path, name, text, matchCase }: SearchWish, signal: AbortSignal): Promise<FileSearch> =>
  take(client.GET("/api/containers/{vmid}/files/search", {
    params: { path: { vmid }, query: { root, path, matchCase, limit: 200, ...(name === "" ? {} : { name }), ...(text === "" ? {} : { text }) } }, signal,
  }));

export const fetchUploads = async (vmid: number, signal: AbortSignal): Promise<FileUpload[]> =>
  (await take(client.GET("/api/containers/{vmid}/files/uploads", { params: { path: { vmid } }, signal }))).items;

export async function discardUpload(vmid: number, upload: string): Promise<void> {
  await client.DELETE("/api/containers/{vmid}/files/uploads/{upload}", { params: { path: { vmid, upload }, header: { "Tus-Resumable": "1.0.0" } } });
}

/** Where the content of a file is; a link to it downloads. */
export const contentAddress = ({ vmid, root }: Place, path: string): string => `/api/containers/${vmid}/files/content?${new URLSearchParams({ root, path }).toString()}`;

/** Where files and folders come from as one archive; a link to it downloads. */
export function archiveAddress({ vmid, root }: Place, paths: readonly string[], format: ArchiveFormat): string {
  const query = new URLSearchParams([["root", root], ...paths.map((path): [string, string] => ["path", path]), ["format", format]]);
  return `/api/containers/${vmid}/files/archive?${query.toString()}`;
}

/** What a content replaces: one version alone, or nothing at all. */
export type Replaces = { version: string } | "nothing";

/** Put a whole content in place. */
export function putContent({ vmid, root }: Place, path: string, body: string, replaces: Replaces): Promise<FileEntry> {
  const condition = replaces === "nothing" ? { "If-None-Match": "*" } : { "If-Match": `"${replaces.version}"` };
  return take(client.PUT("/api/containers/{vmid}/files/content", {
    params: { path: { vmid }, query: { root, path }, header: condition }, body, bodySerializer: (text) => text, headers: { "Content-Type": "application/octet-stream" },
  }));
}

/** Return a content with the version that it is of. */
export async function fetchContent({ vmid, root }: Place, path: string, signal: AbortSignal | null = null): Promise<{ bytes: Uint8Array; version: string }> {
  const { data, response } = await client.GET("/api/containers/{vmid}/files/content", { params: { path: { vmid }, query: { root, path } }, parseAs: "arrayBuffer", cache: "no-store", signal });
  // Of an empty body there is no data.
  return { bytes: new Uint8Array(data ?? new ArrayBuffer(0)), version: /^(?:W\/)?"(.*)"$/.exec(response.headers.get("ETag") ?? "")?.[1] ?? "" };
}

/** The shapes of files as the API tells them. A path is relative to its root; names are texts as `names.ts` explains. */

export type FileKind = "file" | "dir" | "link" | "other";
export type FileSort = "name" | "size" | "modified";
export type ArchiveFormat = "zip" | "tar.gz" | "tar.zst";
export type Overwrite = "refuse" | "skip" | "replace";

export interface FileEntry {
  name: string;
  kind: FileKind;
  size: number;
  modifiedAt: string;
  /** The rights in octal, `0644`. */
  mode: string;
  /** Another one as soon as the content may be another; in quotes it is the ETag. */
  version: string;
  target?: string;
}

export interface Folder {
  root: string;
  path: string;
  entries: FileEntry[];
  next?: string;
}

export interface DiskRoom {
  totalBytes: number;
  freeBytes: number;
  totalFiles: number | null;
  freeFiles: number | null;
}

export interface FileRoot {
  name: string;
  title: string;
  folder: string;
  isDefault: boolean;
  room: DiskRoom | null;
  code: string | null;
}

export interface FileRoots {
  roots: FileRoot[];
  uploadChunkBytes: number;
}

export interface OperationResult {
  files: number | null;
  folders: number | null;
  bytes: number | null;
  diskBytes: number | null;
  sha256: string | null;
  skipped: { path: string; code: string }[];
  skippedCount: number;
}

export interface FileOperation {
  id: string;
  kind: "copy" | "delete" | "archive" | "extract" | "checksum" | "measure";
  state: "running" | "done" | "failed" | "cancelled" | "interrupted";
  root: string;
  path: string;
  to: string | null;
  startedAt: string;
  finishedAt: string | null;
  doneBytes: number;
  doneFiles: number;
  totalBytes: number | null;
  code: string | null;
  message: string | null;
  result: OperationResult | null;
}

export interface FoundFile {
  path: string;
  kind: FileKind;
  size: number;
  modifiedAt: string;
  lines: { number: number; text: string }[];
}

export interface FileSearch {
  root: string;
  path: string;
  items: FoundFile[];
  lookedAt: number;
  stoppedBy: "limit" | "time" | null;
  skippedCount: number;
}

export interface FileUpload {
  id: string;
  root: string;
  path: string;
  size: number;
  offset: number;
  createdAt: string;
  expiresAt: string;
}

/** Work on files that may take long, in words; pure. */
import type { FileOperation } from "../api/types";
import { formatBytes, isolate } from "../layout/words";
import { showName } from "./names";
import { nameOf } from "./paths";
import { countOf } from "./rows";

const DOING = { copy: "Copying", delete: "Deleting", archive: "Compressing", extract: "Extracting", checksum: "Reading", measure: "Counting" } as const;
const DONE = { copy: "Copied", delete: "Deleted", archive: "Compressed", extract: "Extracted", checksum: "Read", measure: "Counted" } as const;
const NOT_DONE = { copy: "copied", delete: "deleted", archive: "compressed", extract: "extracted", checksum: "read", measure: "counted" } as const;

/** "Extracting world.zip"; of what has ended: how. */
export function describeOperation({ kind, state, path }: Pick<FileOperation, "kind" | "state" | "path">): string {
  const name = isolate(path === "" ? "/" : showName(nameOf(path)));
  switch (state) {
    case "running":
      return `${DOING[kind]} ${name}`;
    case "done":
      return `${DONE[kind]} ${name}`;
    case "failed":
      return `${name} was not ${NOT_DONE[kind]}`;
    case "cancelled":
      return `Stopped before ${name} was ${NOT_DONE[kind]}`;
    case "interrupted":
      return `${name} was not ${NOT_DONE[kind]}: the agent was restarted`;
  }
}

/** "12 files · 3.4 MiB of 8 MiB"; of what is done: what it came to. */
export function describeAmount({ state, doneBytes, doneFiles, totalBytes, result }: Pick<FileOperation, "state" | "doneBytes" | "doneFiles" | "totalBytes" | "result">): string {
  if (state === "done" && result) {
    return [countOf(result.files ?? 0, "file"), countOf(result.folders ?? 0, "folder"), result.bytes ? formatBytes(result.bytes) : null].filter(Boolean).join(" · ");
  }
  const bytes = totalBytes ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}` : doneBytes > 0 ? formatBytes(doneBytes) : null;
  return [countOf(doneFiles, "file"), bytes].filter(Boolean).join(" · ");
}

const SKIPPED: Readonly<Record<string, string>> = {
  file_exists: "was there already",
  permission_denied: "its rights do not allow it",
  not_a_regular_file: "is a pipe, a socket or a device",
  link_outside: "is a link that leads out",
  path_outside: "leads out",
  is_a_link: "is a link",
  name_too_long: "its name is too long",
  path_not_found: "is gone",
  path_busy: "was being changed",
};

/** Return why something was left out, in a few words. */
export function describeSkipped(code: string): string {
  return Object.hasOwn(SKIPPED, code) ? (SKIPPED[code] ?? code) : code.replaceAll("_", " ");
}

/** What can be done with chosen entries; pure. */
import type { FileEntry } from "../api/types";
import { isArchive } from "./names";

export type Action = "open" | "edit" | "download" | "rename" | "move" | "copy" | "compress" | "extract" | "rights" | "checksum" | "delete";

export const LABELS: Readonly<Record<Action, string>> = {
  open: "Open", edit: "Edit", download: "Download", rename: "Rename…", move: "Move…", copy: "Copy…", compress: "Compress…", extract: "Extract…", rights: "Rights…", checksum: "Checksum", delete: "Delete…",
};

export const KEYS: Readonly<Partial<Record<Action, string>>> = { open: "Enter", rename: "F2", delete: "Del" };

/** Return what is offered, in order; without the right to change files one looks and downloads. */
export function offerActions(entries: readonly FileEntry[], mayWrite: boolean): Action[] {
  const [only, ...others] = entries;
  if (!only) return [];
  const isOne = others.length === 0;
  const offers: [Action, boolean, boolean][] = [
    ["open", isOne && only.kind !== "file" && only.kind !== "other", false],
    ["edit", isOne && only.kind === "file", false],
    ["download", entries.every(({ kind }) => kind !== "other"), false],
    ["extract", isOne && only.kind === "file" && isArchive(only.name), true],
    ["rename", isOne, true],
    ["move", true, true],
    ["copy", isOne, true],
    ["compress", true, true],
    ["rights", isOne && only.kind !== "link", true],
    ["checksum", isOne && only.kind === "file", false],
    ["delete", true, true],
  ];
  return offers.filter(([, fits, writes]) => fits && (mayWrite || !writes)).map(([action]) => action);
}

/** What a plain "open" means for an entry: look into a folder, edit a file, or follow a link to whichever it is. */
export function openingOf({ kind }: Pick<FileEntry, "kind">): "folder" | "file" | "link" | null {
  return kind === "dir" ? "folder" : kind === "other" ? null : kind;
}

/**
 * What an open file is and what becomes of it, as a pure machine.
 *
 *     clean ⇄ changed → saving → clean
 *                          ├→ failed (the text stays, and may be saved again)
 *                          └→ differs (somebody else has changed the file: overwrite, take theirs, or compare)
 *
 * Invariant: what one has typed goes only by one's own choice.
 */
import type { FileEntry } from "../../api/types";
import { decodeText, MOST_BYTES, type Text } from "./text";

export type Phase = "clean" | "changed" | "saving" | "failed" | "differs";

export interface Document {
  phase: Phase;
  /** Of the file on the disk, as far as this page knows it; null once it is gone there. */
  version: string | null;
  /** Something was typed after the save had begun. */
  isAhead: boolean;
  problem: unknown;
}

export type DocumentEvent =
  | { type: "typed"; isSame: boolean }
  | { type: "save" }
  | { type: "saved"; version: string }
  | { type: "failed"; problem: unknown }
  /** The file is not what it was. */
  | { type: "differs" }
  /** What is there now was seen, and may be replaced; null where nothing is. */
  | { type: "seen"; version: string | null }
  | { type: "reloaded"; version: string };

export function openDocument(version: string): Document {
  return { phase: "clean", version, isAhead: false, problem: null };
}

export function change(document: Document, event: DocumentEvent): Document {
  switch (event.type) {
    case "typed":
      if (document.phase === "saving") return { ...document, isAhead: true };
      if (document.phase === "clean" || document.phase === "changed") return { ...document, phase: event.isSame ? "clean" : "changed" };
      return document;
    case "save":
      return { ...document, phase: "saving", isAhead: false, problem: null };
    case "saved":
      return { phase: document.isAhead ? "changed" : "clean", version: event.version, isAhead: false, problem: null };
    case "failed":
      return { ...document, phase: "failed", problem: event.problem };
    case "differs":
      return { ...document, phase: "differs", problem: null };
    case "seen":
      return { ...document, version: event.version };
    case "reloaded":
      return openDocument(event.version);
  }
}

/** What stands at a path: a text that can be opened, or what is none, and why. */
export type Found =
  | { kind: "text"; text: Text; version: string }
  | { kind: "large" | "binary"; size: number; version: string }
  | { kind: "other"; version: string };

export type NoText = Exclude<Found, { kind: "text" }>;

/** Return what an entry is where that is seen before its bytes are fetched, else null. */
export function judgeEntry({ kind, size, version }: Pick<FileEntry, "kind" | "size" | "version">): NoText | null {
  if (kind !== "file") return { kind: "other", version };
  return size > MOST_BYTES ? { kind: "large", size, version } : null;
}

/** Return what the bytes of a file are; it may have grown since its entry was seen. */
export function judgeBytes({ bytes, version }: { bytes: Uint8Array; version: string }): Found {
  if (bytes.length > MOST_BYTES) return { kind: "large", size: bytes.length, version };
  const text = decodeText(bytes);
  return text ? { kind: "text", text, version } : { kind: "binary", size: bytes.length, version };
}

/** Why something is not opened. */
export const WHY_NO_TEXT: Readonly<Record<NoText["kind"], string>> = {
  large: "It is too large to be edited here",
  binary: "It is no text",
  other: "It is no file",
};

/** What others have made of an open file: something else, or nothing. */
export type Theirs = Found | { kind: "gone" };

export interface Choice {
  title: string;
  meaning: string;
  /** What saving one's own comes to. */
  overwrite: string;
  /** Whether theirs can be compared with, and taken; only a text can. */
  isText: boolean;
}

export function chooseAbout({ kind }: Theirs): Choice {
  switch (kind) {
    case "gone":
      return { title: "The file was removed meanwhile", meaning: "What you wrote is still here, and nowhere else.", overwrite: "Write it anew", isText: false };
    case "text":
      return { title: "The file was changed meanwhile", meaning: "Somebody or something else has written to it since you opened it. Nothing of either is lost yet.", overwrite: "Overwrite with mine", isText: true };
    case "large":
    case "binary":
    case "other":
      return { title: "The file was changed meanwhile", meaning: `${WHY_NO_TEXT[kind]} now, so it cannot be shown beside what you wrote. Nothing of either is lost yet.`, overwrite: "Overwrite with mine", isText: false };
  }
}

/** Tell whether leaving loses something. */
export function isUnsaved({ phase }: Document): boolean {
  return phase !== "clean";
}

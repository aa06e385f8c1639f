/**
 * What an open file is and what becomes of it, as a pure machine.
 *
 *     clean ⇄ changed → saving → clean
 *                          ├→ failed (the text stays, and may be saved again)
 *                          └→ differs (somebody else has changed the file: overwrite, take theirs, or compare)
 *
 * Invariant: what one has typed goes only by one's own choice.
 */
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

/** Tell whether leaving loses something. */
export function isUnsaved({ phase }: Document): boolean {
  return phase !== "clean";
}

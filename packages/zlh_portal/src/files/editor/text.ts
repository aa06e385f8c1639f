/** What of a file is text, and how it comes back to the same bytes; pure. */

export const MOST_BYTES = 2 * 1024 * 1024;

export interface Text {
  text: string;
  /** With what lines end; null where they end in different ways, and stay so. */
  lineEnd: "\n" | "\r\n" | null;
}

/** Return the text that bytes are, or null where they are none: not UTF-8, or with zero bytes in them. */
export function decodeText(bytes: Uint8Array): Text | null {
  if (bytes.includes(0)) return null;
  try {
    // The mark of byte order stays: it was in the file, and goes back into it.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, lineEnd: findLineEnd(text) };
  } catch {
    return null;
  }
}

/** Return with what all lines of a text end; null where they differ. */
function findLineEnd(text: string): Text["lineEnd"] {
  const returns = text.match(/\r/g)?.length ?? 0;
  if (returns === 0) return "\n";
  const pairs = text.match(/\r\n/g)?.length ?? 0;
  const feeds = text.match(/\n/g)?.length ?? 0;
  return pairs === returns && pairs === feeds ? "\r\n" : null;
}

/**
 * Names of files as texts; pure. A byte that is no UTF-8 stands as one letter from U+10FE80 to U+10FEFF, whose last two
 * digits are the byte: such a text is sent back as it is, and shown with `\xE9` in its place.
 */
import { hex, showCode } from "../layout/words";

const FIRST = 0x10fe00;
const ESCAPED = /[\u{10fe80}-\u{10feff}]/gu;
// What is no letter that one sees: controls, and what turns the direction of a line or joins and hides letters.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2800\ufff9-\ufffb\p{Default_Ignorable_Code_Point}]/gu;
const MOST_BYTES = 255;

/** Return a name, or a path, as people are shown it: one line, nothing in it hidden. */
export function showName(name: string): string {
  return name
    .replace(ESCAPED, (letter) => `\\x${hex((letter.codePointAt(0) ?? FIRST) - FIRST, 2)}`)
    .replace(UNSEEN, showCode);
}

/** Return how many bytes a name has on the disk. */
export function byteLength(name: string): number {
  return new TextEncoder().encode(name.replace(ESCAPED, "?")).length;
}

/** Return why nothing can be called so, or null; whether the name is taken is known to the disk alone. */
export function findNameProblem(name: string): string | null {
  if (name === "") return "Give it a name.";
  if (name === "." || name === "..") return "The names . and .. stand for folders themselves.";
  if (name.includes("/")) return "A name has no slash; move it to put it elsewhere.";
  if (name.includes("\0")) return "A name has no zero byte.";
  return byteLength(name) > MOST_BYTES ? `A name has ${MOST_BYTES} bytes at most; this one has ${byteLength(name)}.` : null;
}

const DOUBLE_ENDS = /\.tar\.(gz|zst|xz|bz2)$/i;

/** Return the part of a name before its ending, and the ending with its dot; a leading dot begins no ending. */
export function splitEnding(name: string): [string, string] {
  const double = DOUBLE_ENDS.exec(name);
  const at = double && double.index > 0 ? double.index : name.lastIndexOf(".");
  return at > 0 ? [name.slice(0, at), name.slice(at)] : [name, ""];
}

/** Return the n-th other name for what cannot have its own: "notes (2).txt". It fits where the name did. */
export function renderOtherName(name: string, n: number): string {
  const [stem, ending] = splitEnding(name);
  const more = ` (${n})`;
  let letters = Array.from(stem);
  while (letters.length > 1 && byteLength(letters.join("") + more + ending) > MOST_BYTES) letters = letters.slice(0, -1);
  return letters.join("") + more + ending;
}

const ARCHIVES = /\.(zip|jar|tar|tgz|tar\.(gz|zst|xz|bz2)|txz|tbz2?|tzst)$/i;

/** Tell whether a name is that of an archive that may be unpacked. */
export function isArchive(name: string): boolean {
  return ARCHIVES.test(name);
}

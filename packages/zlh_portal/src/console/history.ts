/** The kept output of a console: put together from its pages, and cut around a match; pure. */
import type { ConsoleHistory } from "../api/types";

// What the API gives at most at once.
export const PAGE_BYTES = 128 * 1024;
// Around a match, in both directions.
export const CONTEXT_BYTES = 2048;
const CONTEXT_LINES = 6;

/** How far a download is; it ends at what was written when it began, or it would follow a busy program for ever. */
export interface Download {
  stream: string | null;
  next: number;
  first: number;
  until: number;
  parts: Uint8Array<ArrayBuffer>[];
  isDone: boolean;
}

export const START_DOWNLOAD: Download = { stream: null, next: 0, first: 0, until: Infinity, parts: [], isDone: false };

/** Return the download with one more page; what was overwritten meanwhile is told in its place. */
export function takePage(download: Download, page: ConsoleHistory): Download {
  if (download.stream !== null && page.stream !== download.stream) return { ...download, isDone: true };
  const isFirst = download.stream === null;
  const until = isFirst ? page.written : download.until;
  const bytes = parseBytes(page.data);
  const missed = isFirst ? 0 : page.start - download.next;
  const parts = [...download.parts];
  if (missed > 0) parts.push(new TextEncoder().encode(`\n[${missed} bytes are no longer kept]\n`));
  parts.push(bytes.subarray(Math.max(0, -missed), Math.max(0, until - page.start)));
  const next = Math.max(page.end, download.next);
  // A page without a byte cannot bring the end nearer.
  return { stream: page.stream, next, first: isFirst ? page.start : download.first, until, parts, isDone: next >= until || page.end <= page.start };
}

/** Return how far it is, 0 to 100. */
export function percentOf({ first, next, until }: Download): number {
  return until === Infinity ? 0 : until <= first ? 100 : Math.floor((Math.min(next, until) - first) * 100 / (until - first));
}

export interface Excerpt {
  before: string;
  match: string;
  after: string;
}

/** Where a text was found: offsets count anew in each stream. */
export interface Match {
  stream: string;
  at: number;
  length: number;
}

/** Return a match with the lines around it, or null where the page does not hold it. */
export function cutExcerpt(page: ConsoleHistory, { stream, at, length }: Match): Excerpt | null {
  const bytes = parseBytes(page.data);
  const start = at - page.start;
  if (page.stream !== stream || start < 0 || start + length > bytes.length) return null;
  const decode = (part: Uint8Array) => readable(new TextDecoder().decode(part));
  return {
    before: decode(bytes.subarray(0, start)).split("\n").slice(-CONTEXT_LINES).join("\n"),
    match: decode(bytes.subarray(start, start + length)),
    after: decode(bytes.subarray(start + length)).split("\n").slice(0, CONTEXT_LINES).join("\n"),
  };
}

/** Return how many bytes a text has on the wire. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Return the text of output without what only a terminal understands. */
export function readable(text: string): string {
  return text
    .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g, "")
    .replace(/\r\n?/g, "\n")
    .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, "");
}

function parseBytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

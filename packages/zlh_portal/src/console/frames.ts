/** The console protocol `zlh.console.v1`: frames parsed and rendered without any I/O. */

export const SUBPROTOCOL = "zlh.console.v1";
const OFFSET_BYTES = 8;
// The server closes the socket on a larger frame; a paste is cut to stay below it.
export const MAX_INPUT_BYTES = 32 * 1024;

// A container's agent writes notices, and may write what it likes.
const MAX_NOTICE_CHARS = 500;
const MAX_CODE_CHARS = 64;

export type ServerMessage =
  | { type: "hello"; stream: string; from: number; to: number; state: string; confirms: boolean }
  | { type: "gap"; from: number; to: number }
  | { type: "state"; state: string }
  | { type: "exit"; code: number | null; signal: string | null }
  /** What has become of the input of this connection so far, in bytes. */
  | { type: "input"; taken: number; refused: number }
  /** Something that people should know and no program has printed. */
  | { type: "notice"; code: string; message: string };

export interface Output {
  offset: number;
  bytes: Uint8Array;
}

/** Return the offset and the bytes of a binary frame, or null where it is none. */
export function parseOutput(frame: ArrayBuffer): Output | null {
  if (frame.byteLength < OFFSET_BYTES) return null;
  const offset = new DataView(frame).getBigUint64(0, false);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  return { offset: Number(offset), bytes: new Uint8Array(frame, OFFSET_BYTES) };
}

/** Return what the server said, or null where it is no message that we know. */
export function parseMessage(text: string): ServerMessage | null {
  const value = parseJson(text);
  if (value === null) return null;
  const { type, stream, from, to, state, confirms, code, signal, taken, refused, message } = value;
  switch (type) {
    case "hello":
      return typeof stream === "string" && isOffset(from) && isOffset(to) && typeof state === "string"
        ? { type, stream, from, to, state, confirms: confirms === true }
        : null;
    case "gap":
      return isOffset(from) && isOffset(to) ? { type, from, to } : null;
    case "state":
      return typeof state === "string" ? { type, state } : null;
    case "exit":
      return { type, code: typeof code === "number" ? code : null, signal: typeof signal === "string" ? signal : null };
    case "input":
      return isOffset(taken) && isOffset(refused) ? { type, taken, refused } : null;
    case "notice":
      return typeof code === "string" && typeof message === "string" && message !== ""
        ? { type, code: code.slice(0, MAX_CODE_CHARS), message: message.slice(0, MAX_NOTICE_CHARS) }
        : null;
    default:
      return null;
  }
}

/** Return the input frames for typed or pasted text; a character is never cut. */
export function renderInput(text: string): Uint8Array<ArrayBuffer>[] {
  return cut(new TextEncoder().encode(text));
}

/** Return the input frames for xterm's binary reports (one character per byte). */
export function renderBinaryInput(text: string): Uint8Array<ArrayBuffer>[] {
  return cut(Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff));
}

export function renderResize(cols: number, rows: number): string {
  return JSON.stringify({ type: "resize", cols, rows });
}

function cut(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const frames: Uint8Array<ArrayBuffer>[] = [];
  for (let start = 0; start < bytes.length; ) {
    let end = Math.min(start + MAX_INPUT_BYTES, bytes.length);
    while (end < bytes.length && end > start + 1 && isContinuation(bytes[end])) end -= 1;
    frames.push(bytes.slice(start, end));
    start = end;
  }
  return frames;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0b1100_0000) === 0b1000_0000;
}

function isOffset(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function parseJson(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

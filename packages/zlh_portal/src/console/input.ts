/**
 * What becomes of what is typed; pure. A console confirms it byte by byte: what is taken reaches the program once, what
 * is refused nobody gets, and what is neither when the connection ends may be either. Nothing of it is sent again by
 * itself, since a command that runs twice does more harm than one that is typed anew.
 */

/** What the person is to be told of: so much was certainly not taken, or may not have been. */
export interface Missed {
  bytes: number;
  isCertain: boolean;
}

export interface Input {
  /** The console tells what becomes of input; one of an older agent does not. */
  confirms: boolean;
  /** Bytes of this connection. */
  sent: number;
  taken: number;
  refused: number;
  missed: Missed | null;
}

export const NO_INPUT: Input = { confirms: false, sent: 0, taken: 0, refused: 0, missed: null };

/** A connection has begun. */
export function onGreeting(input: Input, confirms: boolean): Input {
  return { ...NO_INPUT, confirms, missed: input.missed };
}

export function onSent(input: Input, bytes: number): Input {
  return { ...input, sent: input.sent + bytes };
}

/** Somebody typed where nothing takes it. */
export function onUnsent(input: Input, bytes: number): Input {
  return { ...input, missed: miss(input.missed, bytes) };
}

/** The console says what has become of all input of this connection; once it takes more, nobody needs the warning. */
export function onDone(input: Input, taken: number, refused: number): Input {
  const missed = taken > input.taken ? null : input.missed;
  const more = refused - input.refused;
  return { ...input, taken, refused, missed: more > 0 ? miss(missed, more) : missed };
}

/** The connection is over. */
export function onLost(input: Input): Input {
  const open = input.confirms ? input.sent - input.taken - input.refused : 0;
  const missed = open > 0 ? { bytes: open + (input.missed?.bytes ?? 0), isCertain: false } : input.missed;
  return { ...NO_INPUT, missed };
}

export function describeMissed({ bytes, isCertain }: Missed): string {
  const what = `What you typed last (${bytes === 1 ? "1 byte" : `${bytes} bytes`})`;
  return isCertain ? `${what} was not taken: type it again.` : `${what} may not have been taken: look before you type it again.`;
}

function miss(before: Missed | null, bytes: number): Missed {
  return { bytes: bytes + (before?.bytes ?? 0), isCertain: before?.isCertain ?? true };
}

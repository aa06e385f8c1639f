/** Times, durations and sizes in words; pure. */

/** "< 0.1 s", "0.4 s", "12 s", "3 m 05 s", "2 h 04 m". */
export function formatDuration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 0.05) return "< 0.1 s";
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} m`;
}

/** "just now", "4 min ago", "3 h ago", "2 days ago". */
export function formatAgo(thenMs: number, nowMs: number): string {
  const s = Math.max(0, (nowMs - thenMs) / 1000);
  if (s < 45) return "just now";
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86_400) return `${Math.round(s / 3600)} h ago`;
  const days = Math.round(s / 86_400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

/** "in a minute", "in 5 min", "in 25 h", "in 6 days", "in 2 years"; "over" once it has come. */
export function formatUntil(thenMs: number, nowMs: number): string {
  const s = (thenMs - nowMs) / 1000;
  if (s <= 0) return "over";
  if (s < 90) return "in a minute";
  if (s < 5400) return `in ${Math.round(s / 60)} min`;
  if (s < 129_600) return `in ${Math.round(s / 3600)} h`;
  const days = Math.round(s / 86_400);
  return days < 700 ? `in ${days} days` : `in ${Math.round(days / 365)} years`;
}

/** "812 B", "64 KiB", "182 MiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit] ?? ""}`;
}

/** Return a sentence that begins with a capital. */
export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Controls but blanks, letters that turn round or hide others, and those of which nothing is seen. Those that join letters, marks of
// direction, and what has a sign shown as a picture, are of languages.
const UNSEEN = /(?![\u200c-\u200f\ufe0e\ufe0f])[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u2028-\u202e\u2800\ufff9-\ufffb\p{Default_Ignorable_Code_Point}]/gu;

/** Return a text of one line with whatever is not seen, and would act on what is, as its code: `a\u202Eb`. */
export function showUnseen(text: string): string {
  return text.replace(UNSEEN, showCode);
}

/** Return a letter as its code: `\x1B`, `\u202E`, `\u{E0041}`. */
export function showCode(letter: string): string {
  const code = letter.codePointAt(0) ?? 0;
  if (code > 0xffff) return `\\u{${hex(code, 5)}}`;
  return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
}

/** What a page has room for of a text that somebody else says, and of one line that is a name. */
const MOST_SAID = 280;
const MOST_LINES = 5;
const MOST_NAME = 256;

/** Return the beginning of a text of more than some 280 letters or five lines, without the ellipsis that belongs behind it; null where there is room for all of it. */
export function shorten(text: string): string | null {
  const lines = text.split("\n", MOST_LINES + 1);
  const begin = lines.slice(0, MOST_LINES).join("\n");
  if (lines.length <= MOST_LINES && begin.length <= MOST_SAID) return null;
  return cut(begin, MOST_SAID);
}

/** Return of a long text the beginning: a note goes by itself, and cannot be asked for more. */
export function sayBriefly(text: string): string {
  const short = shorten(text);
  return showUnseen(short === null ? text : `${short}…`);
}

/** Return a name as far as a line or two have room for it. */
export function shortenName(text: string, most = MOST_NAME): string {
  return text.length <= most ? text : `${cut(text, most)}…`;
}

/** Return so much of a text at most, and no half of a letter. */
function cut(text: string, most: number): string {
  return text.slice(0, most).replace(/[\ud800-\udbff]$/, "").trimEnd();
}

/** Return a text that somebody chose so that it cannot turn round the direction of the sentence it is put into, nor be all of it. */
export function isolate(text: string): string {
  return `\u2068${showUnseen(shortenName(text))}\u2069`;
}

// Latin letters, digits and signs run as the sentence runs.
const RUNS_ALONG = /^[\u0020-\u007e\u00a0-\u024f\u2010-\u2027]*$/;

/** Return the same where it has to be, and a name that reads as the sentence does as it is: such as versions, of which lists are full. */
export function isolateOdd(text: string): string {
  return RUNS_ALONG.test(text) && shortenName(text) === text ? text : isolate(text);
}

/** Return a number in so many hexadecimal digits at least. */
export function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

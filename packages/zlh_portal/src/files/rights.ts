/** The rights of a file: octal as the API has them, letters as people know them; pure. */

export const WHO = ["owner", "group", "others"] as const;
export const WHAT = ["read", "write", "execute"] as const;

/** Return the twelve bits of a mode; 0 for what is none. */
export function parseMode(mode: string): number {
  return /^[0-7]{3,4}$/.test(mode) ? Number.parseInt(mode, 8) : 0;
}

/** Return a mode in four octal digits. */
function renderMode(bits: number): string {
  return (bits & 0o7777).toString(8).padStart(4, "0");
}

/** "rwxr-xr-x", as `ls -l` writes it, with s and t for the upper bits. */
export function showMode(mode: string): string {
  const bits = parseMode(mode);
  const three = (shift: number, special: number, letter: string) => {
    const has = (bit: number) => (bits & (bit << shift)) !== 0;
    const last = bits & special ? (has(1) ? letter : letter.toUpperCase()) : has(1) ? "x" : "-";
    return `${has(4) ? "r" : "-"}${has(2) ? "w" : "-"}${last}`;
  };
  return three(6, 0o4000, "s") + three(3, 0o2000, "s") + three(0, 0o1000, "t");
}

/** Return the bit of one right: who 0–2 for owner, group, others; what 0–2 for read, write, execute. */
export function bitOf(who: number, what: number): number {
  return (4 >> what) << (6 - 3 * who);
}

/** Return the mode with one right given or taken. */
export function toggleRight(mode: string, who: number, what: number): string {
  return renderMode(parseMode(mode) ^ bitOf(who, what));
}

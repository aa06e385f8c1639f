/** The one-time code behind the # of a link, which browsers send to nobody; pure. */

const MOST_CHARS = 200;

/** Return the code of `#code=…`, or null where there is none. */
export function parseCode(hash: string): string | null {
  if (!hash.startsWith("#")) return null;
  const code = new URLSearchParams(hash.slice(1)).get("code")?.trim() ?? "";
  return code !== "" && code.length <= MOST_CHARS ? code : null;
}

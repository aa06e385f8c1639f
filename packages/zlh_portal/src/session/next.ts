/** Where somebody goes on to who was asked to sign in by a container's address. */

/** Return the way back to a container's address, as the API has written it; null for whatever leads elsewhere. Pure. */
export function parseNext(search: string): string | null {
  const next = new URLSearchParams(search).get("next");
  return next !== null && /^\/api\/access\/[a-z0-9-]{1,32}\?[!-~]*$/.test(next) && !next.includes("\\") ? next : null;
}

/** A page that asked for the sign-in, and whose it was, where somebody was signed in before. */
export interface CameFrom {
  from: string;
  of: string | null;
}

/** Return the page to go on with: the one that asked, a path of our own, unless it was another person's. */
export function cameFrom(state: unknown, userId: string): string {
  const { from, of = null } = (typeof state === "object" && state !== null ? state : {}) as Partial<CameFrom>;
  const isTheirs = of === null || of === userId;
  return isTheirs && typeof from === "string" && /^\/(?![/\\])/.test(from) ? from : "/";
}

/** Where somebody goes on to who was asked to sign in by a container's address. */

/** Return the way back to a container's address, as the API has written it; null for whatever leads elsewhere. Pure. */
export function parseNext(search: string): string | null {
  const next = new URLSearchParams(search).get("next");
  return next !== null && /^\/api\/access\/[a-z0-9-]{1,32}\?[!-~]*$/.test(next) && !next.includes("\\") ? next : null;
}

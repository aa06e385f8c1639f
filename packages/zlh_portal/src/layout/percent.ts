/** How far something is, 0 to 100; null where nobody knows. The figures are an agent's: they may be anything. */

/** Return a share of one in per cent. */
export function percentOfShare(share: number | null): number | null {
  return share === null ? null : Math.round(Math.min(1, Math.max(0, share)) * 100);
}

/** Return how much is done of what moves bytes. */
export function percentOf({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number | null }): number | null {
  return percentOfShare(totalBytes === null || totalBytes <= 0 ? null : doneBytes / totalBytes);
}

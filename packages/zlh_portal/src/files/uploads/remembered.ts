/** What the browser remembers of uploads that were not finished, so that they go on where they were left: paths, and whose they are. */

// As tus-js-client begins its keys, whose first part is ours.
const KEYS = "tus::";

/** What a fingerprint begins with. */
export function prefixOf(userId: string): string {
  return `zlh|${userId}`;
}

/** Forget all but what one person has left; of nobody, all. What lies in containers stays there until it expires. */
export function forgetOthers(userId: string | null, storage: Storage = localStorage): void {
  const kept = userId === null ? null : `${KEYS}${prefixOf(userId)}|`;
  const keys = Array.from({ length: storage.length }, (_, at) => storage.key(at) ?? "");
  for (const key of keys) {
    if (key.startsWith(`${KEYS}zlh|`) && (kept === null || !key.startsWith(kept))) storage.removeItem(key);
  }
}

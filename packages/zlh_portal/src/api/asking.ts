/** When what stands on a page is asked for anew: as often as its room wants, sooner while it fails, and at once where something of it was seen to move. */
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { askAgainMs } from "./query";

interface Asked {
  state: { error: Error | null; errorUpdateCount: number };
}

/** Return the interval of a query that is asked every `ms`: a failure that may heal is not shown for so long. */
export function every(ms: number) {
  return ({ state }: Asked): number => askAgainMs(state, ms);
}

/**
 * Ask anew for what stands under a key of a container whenever `seen` changes, which is null while nothing is seen.
 *
 * It is no part of the key: where the answer fails, what was there stays.
 */
export function useAskAnew(root: QueryKey, vmid: number, seen: string | null): void {
  const queries = useQueryClient();
  const before = useRef<string | null>(null);
  useEffect(() => {
    if (seen === null || seen === before.current) return;
    const queryKey = [...root, vmid];
    // An answer that is on its way may be too old. Several parts of a page that see the same ask once.
    const isClear = before.current === null ? Promise.resolve() : queries.cancelQueries({ queryKey });
    before.current = seen;
    void isClear.then(() => queries.invalidateQueries({ queryKey }, { cancelRefetch: false }));
  }, [queries, root, vmid, seen]);
}

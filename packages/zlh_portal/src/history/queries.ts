/** What has happened in a container, page by page and as it happens. */
import { type InfiniteData, type QueryClient, useInfiniteQuery } from "@tanstack/react-query";
import { every } from "../api/asking";
import { client, take } from "../api/client";
import type { HistoryEntry } from "../api/types";
import { useIsLive } from "../live/liveness";
import { addNewest, type Page } from "./pages";

export const HISTORY = ["history"] as const;
const keyOf = (vmid: number) => [...HISTORY, vmid] as const;
const LIMIT = 50;
const HEAL_MS = 60_000;
const POLL_MS = 5_000;

export function useHistory(vmid: number) {
  const isLive = useIsLive();
  return useInfiniteQuery({
    queryKey: keyOf(vmid),
    initialPageParam: undefined as number | undefined,
    refetchInterval: every(isLive ? HEAL_MS : POLL_MS),
    getNextPageParam: ({ next }: Page) => (next === undefined ? undefined : Number(next)),
    queryFn: async ({ pageParam, signal }): Promise<Page> => {
      const query = pageParam === undefined ? { limit: LIMIT } : { before: pageParam, limit: LIMIT };
      return take(client.GET("/api/containers/{vmid}/events", { params: { path: { vmid }, query }, signal }));
    },
  });
}

/** Put what has just happened into the cache; nothing where nobody has looked at it. */
export function noteEntry(queries: QueryClient, vmid: number, entry: HistoryEntry): void {
  queries.setQueryData<InfiniteData<Page, number | undefined>>(keyOf(vmid), (history) => history && addNewest(history, entry));
}

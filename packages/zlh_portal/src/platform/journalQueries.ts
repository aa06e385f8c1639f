/** Tries of steps, page by page, the newest first; what is new is asked for while one looks at what is new. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { Page, StepAttempt } from "../api/types";
import { serverNow } from "../layout/clock";
import { type Asked, queryOf } from "./journal";

const LIMIT = 50;
const POLL_MS = 3_000;
// Whoever has loaded more reads what is old, and all pages would be asked for again.
const POLLED_PAGES = 2;

export function useJournal(asked: Asked) {
  return useInfiniteQuery({
    queryKey: ["journal", asked],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: Page<StepAttempt>) => next,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > POLLED_PAGES ? false : POLL_MS),
    queryFn: ({ pageParam, signal }): Promise<Page<StepAttempt>> =>
      take(client.GET("/api/platform/journal", { params: { query: { limit: LIMIT, ...queryOf(asked, serverNow()), ...(pageParam ? { before: pageParam } : {}) } }, signal })),
  });
}

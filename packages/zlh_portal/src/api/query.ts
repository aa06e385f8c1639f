/** How answers are kept and asked for again. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { asApiError, isFromApi } from "./problem";
import { tell } from "./standing";
import type { Me } from "./types";

/** Who is signed in; null for nobody. */
export const ME = ["me"] as const;

/** Tell whether the same call may succeed later without anybody changing it. */
export function mayHeal(error: unknown): boolean {
  const problem = asApiError(error);
  return !isFromApi(problem) || problem.status >= 500;
}

/** Tell whether nobody is signed in any more; a wrong password says 401 as well, and ends nothing. */
export function endsSession(error: unknown): boolean {
  return asApiError(error).code === "not_signed_in";
}

const LOST_RIGHTS = new Set(["role_missing", "customer_suspended"]);

/** Tell whether the caller may do less than this page believes. */
function tellsLostRight(error: unknown): boolean {
  return LOST_RIGHTS.has(asApiError(error).code);
}

/** Return after how long a query that nothing else asks again is asked again, false where that is of no use. */
export function healDelayMs(error: unknown, failures: number): number | false {
  return error !== null && mayHeal(error) ? Math.min(30_000, 2_000 * 2 ** Math.min(failures, 10)) : false;
}

/** Return the same for a query that is asked again in any case: what has failed is not left for as long as what has not. */
export function askAgainMs({ error, errorUpdateCount }: { error: unknown; errorUpdateCount: number }, usualMs: number): number {
  return Math.min(usualMs, healDelayMs(error, errorUpdateCount) || usualMs);
}

/** What came of a call is about what was sent, and goes as soon as that is changed. One that is still out goes on, and is heard of. */
export function forgetOutcome(call: { isPending: boolean; reset: () => void }): void {
  if (!call.isPending) call.reset();
}

/** A session is over: who was signed in on this page is asked to come back to it, and who was not is nobody. */
export function noteEnd(queries: QueryClient): Me | null {
  const me = queries.getQueryData<Me | null>(ME) ?? null;
  if (me) tell({ type: "ended" });
  else queries.setQueryData(ME, null);
  return me;
}

export function makeQueryClient(): QueryClient {
  const onError = (error: unknown) => {
    // A session that has ended shows in whatever is asked next; the page then asks to sign in.
    if (endsSession(error)) noteEnd(queries);
    // So does a right that is gone: what one may do is asked for anew, and buttons follow.
    else if (tellsLostRight(error)) void queries.invalidateQueries({ queryKey: ME });
  };
  const queries = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      queries: {
        retry: (failures, error) => mayHeal(error) && failures < 2,
        retryDelay: (attempt) => Math.min(4_000, 500 * 2 ** attempt),
        refetchInterval: ({ state }) => healDelayMs(state.error, state.errorUpdateCount),
        staleTime: 5_000,
        // Without a network a call fails at once and says so. One that was kept for later would be done when nobody thinks of it any more.
        networkMode: "always",
      },
      mutations: { retry: false, networkMode: "always" },
    },
  });
  return queries;
}

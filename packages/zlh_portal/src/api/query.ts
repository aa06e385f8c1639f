/** How answers are kept and asked for again. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { asApiError } from "./problem";

/** Who is signed in; null for nobody. */
export const ME = ["me"] as const;

/** Tell whether the same call may succeed later without anybody changing it. */
export function mayHeal(error: unknown): boolean {
  const { code, status } = asApiError(error);
  return code === "unreachable" || status >= 500;
}

/** Tell whether nobody is signed in any more; a wrong password says 401 as well, and ends nothing. */
export function endsSession(error: unknown): boolean {
  return asApiError(error).code === "not_signed_in";
}

const LOST_RIGHTS = new Set(["role_missing", "customer_suspended"]);

/** Tell whether the caller may do less than this page believes. */
export function tellsLostRight(error: unknown): boolean {
  return LOST_RIGHTS.has(asApiError(error).code);
}

export function makeQueryClient(): QueryClient {
  const onError = (error: unknown) => {
    // A session that has ended shows in whatever is asked next; the page then asks to sign in.
    if (endsSession(error)) queries.setQueryData(ME, null);
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
        staleTime: 5_000,
      },
      mutations: { retry: false },
    },
  });
  return queries;
}

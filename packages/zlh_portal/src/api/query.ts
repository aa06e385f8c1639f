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

export function makeQueryClient(): QueryClient {
  // A session that has ended shows in whatever is asked next; the page then asks to sign in.
  const onError = (error: unknown) => {
    if (asApiError(error).status === 401) queries.setQueryData(ME, null);
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

/** How answers are kept and asked for again. */
import { QueryClient } from "@tanstack/react-query";
import { asApiError } from "./problem";

/** Tell whether the same call may succeed later without anybody changing it. */
export function mayHeal(error: unknown): boolean {
  const { code, status } = asApiError(error);
  return code === "unreachable" || status >= 500;
}

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (failures, error) => mayHeal(error) && failures < 2,
        retryDelay: (attempt) => Math.min(4_000, 500 * 2 ** attempt),
        staleTime: 5_000,
      },
      mutations: { retry: false },
    },
  });
}

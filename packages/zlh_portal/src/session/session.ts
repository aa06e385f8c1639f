/** Who is signed in. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import { ME } from "../api/query";
import type { ContainerStatus, Me } from "../api/types";

const CHANGERS = new Set(["owner", "member"]);

export function useMe() {
  return useQuery({
    queryKey: ME,
    staleTime: 5 * 60_000,
    queryFn: async ({ signal }): Promise<Me | null> => {
      try {
        return await take(client.GET("/api/me", { signal }));
      } catch (error) {
        if (asApiError(error).status === 401) return null;
        throw error;
      }
    },
  });
}

export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { email: string; password: string }) => take(client.POST("/api/auth/login", { body })),
    onSuccess: (me: Me) => queries.setQueryData(ME, me),
  });
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/auth/logout")),
    onSuccess: () => {
      // Not clear(): whoever shows who is signed in would go on looking at the entry that was thrown away.
      queries.setQueryData(ME, null);
      queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== ME[0] });
    },
  });
}

/** Tell whether this person may act on a container, as far as the portal can know; the API decides. */
export function useMayChange(status: ContainerStatus): boolean {
  const { data: me } = useMe();
  if (!me) return false;
  if (me.user.isOperator) return true;
  return me.customers.some((customer) => customer.id === status.customerId && CHANGERS.has(customer.role));
}

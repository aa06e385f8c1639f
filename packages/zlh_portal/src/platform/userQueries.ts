/** All users of the platform, for operators. */
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { ME } from "../api/query";
import type { Page, UserReport } from "../api/types";

const USERS = ["users"] as const;
const PAGE = 50;

/** Users whose address holds `q`, page by page. */
export function useUsers(q: string) {
  return useInfiniteQuery({
    queryKey: [...USERS, q],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: Page<UserReport>) => next,
    queryFn: ({ pageParam, signal }): Promise<Page<UserReport>> =>
      take(client.GET("/api/users", { params: { query: { limit: PAGE, ...(q ? { q } : {}), ...(pageParam ? { after: pageParam } : {}) } }, signal })),
  });
}

function useRefresh() {
  const queries = useQueryClient();
  // One of them may be who looks.
  return () => Promise.all([queries.invalidateQueries({ queryKey: USERS }), queries.invalidateQueries({ queryKey: ME })]);
}

export function useSetOperator(user: string) {
  const onSettled = useRefresh();
  return useMutation({ onSettled, mutationFn: (isOperator: boolean) => take(client.PATCH("/api/users/{user}", { params: { path: { user } }, body: { isOperator } })) });
}

export function useSuspendUser(user: string) {
  const onSettled = useRefresh();
  return useMutation({ onSettled, mutationFn: (reason: string) => take(client.POST("/api/users/{user}/suspend", { params: { path: { user } }, body: { reason } })) });
}

export function useResumeUser(user: string) {
  const onSettled = useRefresh();
  return useMutation({ onSettled, mutationFn: () => take(client.POST("/api/users/{user}/resume", { params: { path: { user } } })) });
}

export function useMakeReset(user: string) {
  // The answer holds a code, which is not kept any longer than it is shown.
  return useMutation({ gcTime: 0, mutationFn: () => take(client.POST("/api/users/{user}/password-reset", { params: { path: { user } } })) });
}

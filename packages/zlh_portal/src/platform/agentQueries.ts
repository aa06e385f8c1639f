/** Agents' versions and roll-outs: asked for now and then, and as soon as the live stream tells of a change. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { RolloutDetail, StartRollout } from "../api/types";
import { ROLLOUTS } from "./keys";

const POLL_MS = 15_000;
const PAGE = 50;
export type Move = "pause" | "resume" | "cancel" | "retry";

export function useAgents() {
  return useQuery({
    queryKey: [...ROLLOUTS, "agents"],
    queryFn: ({ signal }) => take(client.GET("/api/platform/agents", { params: { query: { limit: 1 } }, signal })),
    refetchInterval: POLL_MS,
  });
}

/** The newest roll-outs; the first of them is the one that counts. */
export function useRollouts() {
  return useQuery({
    queryKey: [...ROLLOUTS, "list"],
    queryFn: ({ signal }) => take(client.GET("/api/platform/rollouts", { params: { query: { limit: 10 } }, signal })),
    refetchInterval: POLL_MS,
  });
}

/** The containers of a roll-out, those that failed first. */
export function useMembers(rollout: string) {
  return useInfiniteQuery({
    queryKey: [...ROLLOUTS, "members", rollout],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: RolloutDetail) => next,
    queryFn: ({ pageParam, signal }) =>
      take(client.GET("/api/platform/rollouts/{rollout}", { params: { path: { rollout }, query: { limit: PAGE, ...(pageParam ? { after: pageParam } : {}) } }, signal })),
  });
}

/** What somebody chose. What is left away is as the API has it: its defaults stand in its description, and nowhere else. */
export type Start = Pick<StartRollout, "version" | "canaries"> & Partial<StartRollout>;

export function useStartRollout() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ key, wish }: { key: string; wish: Start }) =>
      take(client.POST("/api/platform/rollouts", {
        params: { header: { "Idempotency-Key": key } },
        body: wish as StartRollout,
      })),
    onSettled: () => queries.invalidateQueries({ queryKey: ROLLOUTS }),
  });
}

const PATHS = {
  pause: "/api/platform/rollouts/{rollout}/pause",
  resume: "/api/platform/rollouts/{rollout}/resume",
  cancel: "/api/platform/rollouts/{rollout}/cancel",
  retry: "/api/platform/rollouts/{rollout}/retry",
} as const;

export function useMoveRollout(rollout: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (move: Move) => take(client.POST(PATHS[move], { params: { path: { rollout } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ROLLOUTS }),
  });
}

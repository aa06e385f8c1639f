/** The last look at everything, asked for as often as one watches; only operators may. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CATALOG } from "../catalog/queries";
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import type { AuditStatus, DecideVersion } from "../api/types";
import { PUBLISHED } from "./keys";

const AUDIT = ["audit"] as const;
const POLL_MS = 3_000;
const PUBLISHED_MS = 15_000;
const NODES_MS = 10_000;

export function useAudit() {
  return useQuery({
    queryKey: AUDIT,
    queryFn: ({ signal }) => take(client.GET("/api/audit", { signal })),
    refetchInterval: ({ state }) => (state.error && asApiError(state.error).status === 404 ? false : POLL_MS),
  });
}

/** How the edge stands, asked for as often as one watches. */
export function useEdge() {
  return useQuery({
    queryKey: ["edge"],
    queryFn: ({ signal }) => take(client.GET("/api/platform/edge", { signal })),
    refetchInterval: ({ state }) => (state.error && asApiError(state.error).status === 404 ? false : POLL_MS),
  });
}

/** The nodes, looked at for each answer. */
export function useNodes() {
  return useQuery({
    queryKey: ["nodes"],
    queryFn: ({ signal }) => take(client.GET("/api/platform/nodes", { signal })),
    refetchInterval: ({ state }) => (state.error && asApiError(state.error).status === 404 ? false : NODES_MS),
  });
}

/** Every published version; a decision changes it, and so does whoever publishes. */
export function usePublished() {
  return useQuery({
    queryKey: PUBLISHED,
    queryFn: ({ signal }) => take(client.GET("/api/platform/catalog", { signal })),
    refetchInterval: PUBLISHED_MS,
  });
}

export function useDecide() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: DecideVersion) => take(client.POST("/api/platform/catalog/decisions", { body })),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: PUBLISHED }), queries.invalidateQueries({ queryKey: CATALOG })]),
  });
}

/** Let the platform look now; the answer is the report from before, and the next one follows by itself. */
export function useLookNow() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/audit")),
    onSuccess: (status: AuditStatus) => queries.setQueryData(AUDIT, status),
    onSettled: () => queries.invalidateQueries({ queryKey: AUDIT }),
  });
}

/** What a container uses: kept samples from the API, and the present one from its agent. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { every } from "../api/asking";
import { client, take } from "../api/client";
import type { Metrics } from "../api/types";
import { serverNow } from "../layout/clock";

export const POINTS = 240;
const NOW_MS = 3_000;
const KEPT_MS = 30_000;
// As many as the shortest plot can show.
const MOST_RECENT = 300;

/** The samples that this page has asked for since it was opened, the newest last; nobody is asked while it is hidden. */
export function useRecentSamples(vmid: number, isHeard: boolean) {
  const queries = useQueryClient();
  const queryKey = ["metrics-now", vmid] as const;
  return useQuery({
    queryKey,
    enabled: isHeard,
    refetchInterval: NOW_MS,
    structuralSharing: false,
    queryFn: async ({ signal }): Promise<Metrics[]> => {
      const sample = await take(client.GET("/api/containers/{vmid}/metrics", { params: { path: { vmid } }, signal }));
      return [...(queries.getQueryData<Metrics[]>(queryKey) ?? []), sample].slice(-MOST_RECENT);
    },
  });
}

export function useKeptSamples(vmid: number, spanS: number) {
  return useQuery({
    queryKey: ["metrics-history", vmid, spanS],
    refetchInterval: every(KEPT_MS),
    queryFn: async ({ signal }) => {
      const query = { from: new Date(serverNow() - spanS * 1000).toISOString(), points: POINTS };
      return (await take(client.GET("/api/containers/{vmid}/metrics/history", { params: { path: { vmid }, query }, signal }))).items;
    },
  });
}

/** Published ports of a container. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { Exposure } from "../api/types";

const keyOf = (vmid: number) => ["exposures", vmid] as const;

export function useExposures(vmid: number) {
  return useQuery({
    queryKey: keyOf(vmid),
    refetchInterval: 20_000,
    queryFn: async ({ signal }) =>
      (await take(client.GET("/api/containers/{vmid}/exposures", { params: { path: { vmid } }, signal }))).items,
  });
}

export function usePublish(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (wish: Pick<Exposure, "port" | "visibility" | "kind"> & { expiresInS: number | null }) =>
      take(
        client.POST("/api/containers/{vmid}/exposures", {
          params: { path: { vmid } },
          body: wish,
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: keyOf(vmid) }),
  });
}

export function useUnpublish(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (exposure: string) =>
      take(client.DELETE("/api/containers/{vmid}/exposures/{exposure}", { params: { path: { vmid, exposure } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keyOf(vmid) }),
  });
}

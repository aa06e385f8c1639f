/** Terminals of a container. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";

const keyOf = (vmid: number) => ["terminals", vmid] as const;

export async function fetchTerminals(vmid: number, signal?: AbortSignal) {
  const { items } = await take(
    client.GET("/api/containers/{vmid}/terminals", { params: { path: { vmid } }, ...(signal ? { signal } : {}) }),
  );
  return items;
}

export function useTerminals(vmid: number, enabled: boolean) {
  return useQuery({
    queryKey: keyOf(vmid),
    enabled,
    refetchInterval: 20_000,
    queryFn: ({ signal }) => fetchTerminals(vmid, signal),
  });
}

export function useOpenTerminal(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () =>
      take(client.POST("/api/containers/{vmid}/terminals", { params: { path: { vmid } }, body: { cols: 100, rows: 30 } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keyOf(vmid) }),
  });
}

export function useCloseTerminal(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (terminal: string) =>
      take(client.DELETE("/api/containers/{vmid}/terminals/{terminal}", { params: { path: { vmid, terminal } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keyOf(vmid) }),
  });
}

/** Supervised processes of a container: definitions from their list, states from the newest report of the container. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { every, useAskAnew } from "../api/asking";
import { client, take } from "../api/client";
import type { ContainerStatus, Process, PutProcess } from "../api/types";
import { useIsLive } from "../live/liveness";
import type { Action } from "./states";
import { joinReport } from "./states";

const PROCESSES = ["processes"] as const;
const keyOf = (vmid: number) => [...PROCESSES, vmid] as const;
const HEAL_MS = 60_000;
const POLL_MS = 5_000;

/** Definitions change with the spec alone, so a new generation of it asks for them anew. */
export function useProcesses(status: ContainerStatus) {
  const { vmid, specGeneration, connection, processes } = status;
  const isLive = useIsLive();
  const query = useQuery({
    queryKey: keyOf(vmid),
    refetchInterval: every(isLive ? HEAL_MS : POLL_MS),
    queryFn: async ({ signal }): Promise<Process[]> =>
      (await take(client.GET("/api/containers/{vmid}/processes", { params: { path: { vmid } }, signal }))).items,
  });
  useAskAnew(PROCESSES, vmid, String(specGeneration));
  return { ...query, data: query.data && joinReport(query.data, connection === "online" ? processes : null) };
}

function useChange<T>(vmid: number, mutationFn: (wish: T) => Promise<unknown>) {
  const queries = useQueryClient();
  return useMutation({ mutationFn, onSettled: () => queries.invalidateQueries({ queryKey: keyOf(vmid) }) });
}

export function usePutProcess(vmid: number) {
  return useChange(vmid, ({ name, wish }: { name: string; wish: PutProcess }) =>
    take(client.PUT("/api/containers/{vmid}/processes/{process}", { params: { path: { vmid, process: name } }, body: wish })));
}

export function useDeleteProcess(vmid: number, process: string) {
  return useChange(vmid, () =>
    take(client.DELETE("/api/containers/{vmid}/processes/{process}", { params: { path: { vmid, process } } })));
}

export function useAct(vmid: number, process: string) {
  return useChange(vmid, (action: Action) => {
    const params = { params: { path: { vmid, process } } };
    switch (action) {
      case "start":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/start", params));
      case "stop":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/stop", params));
      case "restart":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/restart", params));
      case "kill":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/kill", params));
      case "retry":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/retry", params));
      case "give-up":
        return take(client.POST("/api/containers/{vmid}/processes/{process}/give-up", params));
    }
  });
}

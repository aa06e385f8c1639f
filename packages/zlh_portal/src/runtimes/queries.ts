/** Runtimes of a container: wishes go to the API, whose answer is what the page shows from then on. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { every, useAskAnew } from "../api/asking";
import { client, take } from "../api/client";
import type { ContainerStatus, InstallRuntime, Runtimes } from "../api/types";
import { useIsLive } from "../live/liveness";
import { signatureOf } from "./rows";

const HEAL_MS = 60_000;
const POLL_MS = 3_000;
export const RUNTIMES = ["runtimes"] as const;

/** Asked for anew whenever the report of the container shows that something has moved. */
export function useRuntimes(status: ContainerStatus) {
  const { vmid } = status;
  const isLive = useIsLive();
  useAskAnew(RUNTIMES, vmid, signatureOf(status));
  return useQuery({
    queryKey: [...RUNTIMES, vmid],
    refetchInterval: every(isLive ? HEAL_MS : POLL_MS),
    queryFn: ({ signal }) => take(client.GET("/api/containers/{vmid}/runtimes", { params: { path: { vmid } }, signal })),
  });
}

function useWish<T>(status: ContainerStatus, mutationFn: (wish: T) => Promise<Runtimes>) {
  const queries = useQueryClient();
  const key = [...RUNTIMES, status.vmid];
  return useMutation({
    mutationFn,
    // What the API has written down stands at once; how far it is comes with the reports.
    onSuccess: (runtimes) => queries.setQueryData(key, runtimes),
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
}

export function useInstall(status: ContainerStatus) {
  return useWish(status, (wish: InstallRuntime) =>
    take(client.POST("/api/containers/{vmid}/runtimes", { params: { path: { vmid: status.vmid } }, body: wish })));
}

export function useUpgrade(status: ContainerStatus) {
  return useWish(status, ({ name, version }: { name: string; version: string }) =>
    take(client.POST("/api/containers/{vmid}/runtimes/{runtime}/upgrade", {
      params: { path: { vmid: status.vmid, runtime: name } }, body: { version },
    })));
}

export function useRollback(status: ContainerStatus) {
  return useWish(status, (runtime: string) =>
    take(client.POST("/api/containers/{vmid}/runtimes/{runtime}/rollback", { params: { path: { vmid: status.vmid, runtime } } })));
}

interface Version {
  name: string;
  version: string;
}

export function useRepair(status: ContainerStatus) {
  return useWish(status, ({ name, version }: Version) =>
    take(client.POST("/api/containers/{vmid}/runtimes/{runtime}/{version}/repair", {
      params: { path: { vmid: status.vmid, runtime: name, version } },
    })));
}

export function useRemove(status: ContainerStatus) {
  return useWish(status, ({ name, version }: Version) =>
    take(client.DELETE("/api/containers/{vmid}/runtimes/{runtime}/{version}", {
      params: { path: { vmid: status.vmid, runtime: name, version } },
    })));
}

export function usePrune(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/containers/{vmid}/runtimes/prune", { params: { path: { vmid } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: [...RUNTIMES, vmid] }),
  });
}

export function useVerify(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ name, version }: Version) =>
      take(client.POST("/api/containers/{vmid}/runtimes/{runtime}/verify", {
        params: { path: { vmid, runtime: name } }, body: { version },
      })),
    onSettled: () => queries.invalidateQueries({ queryKey: [...RUNTIMES, vmid] }),
  });
}

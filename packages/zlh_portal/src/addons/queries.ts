/** Addons of a container: wishes go to the API, and what has become of them is asked for anew. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { every, useAskAnew } from "../api/asking";
import { client, take } from "../api/client";
import type { Addons, ContainerStatus } from "../api/types";
import { useIsLive } from "../live/liveness";
import { signatureOf } from "../runtimes/rows";
import { ADDONS } from "./keys";

const HEAL_MS = 60_000;
const POLL_MS = 3_000;

/** Asked for anew whenever the report of the container shows that something has moved. */
export function useAddons(status: ContainerStatus) {
  const { vmid } = status;
  const isLive = useIsLive();
  useAskAnew(ADDONS, vmid, JSON.stringify([signatureOf(status), status.addons]));
  return useQuery({
    queryKey: [...ADDONS, vmid],
    refetchInterval: every(isLive ? HEAL_MS : POLL_MS),
    queryFn: ({ signal }) => take(client.GET("/api/containers/{vmid}/addons", { params: { path: { vmid } }, signal })),
  });
}

function useWish<T>(status: ContainerStatus, mutationFn: (wish: T) => Promise<Addons>) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn,
    // Its port comes and goes with it.
    onSettled: () => Promise.all([...ADDONS, "exposures"].map((key) => queries.invalidateQueries({ queryKey: [key, status.vmid] }))),
  });
}

export function useEnableAddon(status: ContainerStatus) {
  return useWish(status, (name: string) =>
    take(client.POST("/api/containers/{vmid}/addons", { params: { path: { vmid: status.vmid } }, body: { name, version: null } })));
}

export function useUpgradeAddon(status: ContainerStatus) {
  return useWish(status, ({ name, version }: { name: string; version: string }) =>
    take(client.POST("/api/containers/{vmid}/addons/{addon}/upgrade", {
      params: { path: { vmid: status.vmid, addon: name } }, body: { version },
    })));
}

export function useRollbackAddon(status: ContainerStatus) {
  return useWish(status, (addon: string) =>
    take(client.POST("/api/containers/{vmid}/addons/{addon}/rollback", { params: { path: { vmid: status.vmid, addon } } })));
}

export function useRepairAddon(status: ContainerStatus) {
  return useWish(status, ({ name, version }: { name: string; version: string }) =>
    take(client.POST("/api/containers/{vmid}/addons/{addon}/{version}/repair", {
      params: { path: { vmid: status.vmid, addon: name, version } },
    })));
}

export function useRemoveAddon(status: ContainerStatus) {
  return useWish(status, (addon: string) =>
    take(client.DELETE("/api/containers/{vmid}/addons/{addon}", { params: { path: { vmid: status.vmid, addon } } })));
}

export function useVerifyAddon(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ name, version }: { name: string; version: string }) =>
      take(client.POST("/api/containers/{vmid}/addons/{addon}/verify", {
        params: { path: { vmid, addon: name } }, body: { version },
      })),
    onSettled: () => queries.invalidateQueries({ queryKey: [...ADDONS, vmid] }),
  });
}

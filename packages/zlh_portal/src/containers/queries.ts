/** Containers as the API knows them, kept in one cache that polling and the live stream both write to. */
import { keepPreviousData, type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import { askAgainMs } from "../api/query";
import type { ContainerStatus, CreateContainer, PatchContainer } from "../api/types";
import { useIsLive } from "../live/liveness";
import { applyChanges, noteChange, withChanges } from "./changes";
import { isChecking } from "./proof";
import { isMoving } from "./states";

export const LIST = ["containers"] as const;
const PARTIAL = ["containers-partial"] as const;
const proofKey = (vmid: number) => ["proof", vmid] as const;
export const oneKey = (vmid: number) => ["container", vmid] as const;

const PAGE = 200;
// Behind the live stream polling only heals what it may have missed; without it, polling is all there is.
const HEAL_MS = 60_000;
const POLL_MS = 5_000;
const POLL_MOVING_MS = 2_000;

/** Ask for every page; `onPage` is told what is there after each but the last. */
async function fetchAll(signal: AbortSignal, onPage: (soFar: ContainerStatus[]) => void): Promise<ContainerStatus[]> {
  const all: ContainerStatus[] = [];
  for (let after: number | undefined; ; ) {
    const query = after === undefined ? { limit: PAGE } : { after, limit: PAGE };
    const page = await take(client.GET("/api/containers", { params: { query }, signal }));
    all.push(...page.items);
    const next = Number(page.next ?? NaN);
    if (Number.isNaN(next)) return all;
    onPage([...all]);
    after = next;
  }
}

export function useContainers() {
  const isLive = useIsLive();
  const queries = useQueryClient();
  return useQuery({
    queryKey: LIST,
    queryFn: ({ signal }) =>
      withChanges(async (since) => {
        // The first rows are shown while the others are asked for. A list that is there whole stays until all of it is new.
        const isFirst = queries.getQueryData(LIST) === undefined || queries.getQueryData(PARTIAL) === true;
        const all = await fetchAll(signal, (soFar) => {
          const there = queries.getQueryData<ContainerStatus[]>(LIST)?.length ?? 0;
          // To write is to take back that the rest could not be had, so only what is more than there was.
          if (!isFirst || soFar.length <= there) return;
          queries.setQueryData(PARTIAL, true);
          queries.setQueryData(LIST, applyChanges(soFar, since));
        });
        // Only now: a list that broke off is short of the rest until it was asked for again.
        queries.setQueryData(PARTIAL, false);
        return applyChanges(all, since);
      }),
    refetchInterval: ({ state }) => askAgainMs(state, isLive && !queries.getQueryData(PARTIAL) ? HEAL_MS : state.data?.some(isMoving) ? POLL_MOVING_MS : POLL_MS),
  });
}

/** Whether the list is still short of containers that are on their way. */
export function useIsPartial(): boolean {
  return useQuery({ queryKey: PARTIAL, queryFn: () => false, enabled: false, initialData: false }).data;
}

export function useContainer(vmid: number) {
  const isLive = useIsLive();
  const queries = useQueryClient();
  return useQuery<ContainerStatus>({
    queryKey: oneKey(vmid),
    queryFn: ({ signal }) =>
      withChanges(async (since) => {
        const status = await take(client.GET("/api/containers/{vmid}/status", { params: { path: { vmid } }, signal }));
        return since.get(vmid) ?? status;
      }),
    placeholderData: (): ContainerStatus | undefined => queries.getQueryData<ContainerStatus[]>(LIST)?.find((item) => item.vmid === vmid),
    refetchInterval: ({ state }) => {
      if (state.error && asApiError(state.error).status === 404) return false;
      return askAgainMs(state, isLive ? HEAL_MS : state.data && isMoving(state.data) ? POLL_MOVING_MS : POLL_MS);
    },
  });
}

/** Put a fresh report into the cache. */
export function noteContainer(queries: QueryClient, status: ContainerStatus): void {
  noteChange(status.vmid, status);
  queries.setQueryData<ContainerStatus[]>(LIST, (items) =>
    items && [...items.filter((item) => item.vmid !== status.vmid), status]);
  queries.setQueryData(oneKey(status.vmid), status);
}

/** Take a container out of the cache; its page asks once more, and is told that there is no such container. */
export function noteDeleted(queries: QueryClient, vmid: number): void {
  noteChange(vmid, null);
  queries.setQueryData<ContainerStatus[]>(LIST, (items) => items?.filter((item) => item.vmid !== vmid));
  void queries.invalidateQueries({ queryKey: oneKey(vmid) });
}

const PROOF_MS = 15_000;
const PROOF_MOVING_MS = 1_500;

/** The way from its public name to the container; asked for again whenever what is broken of it changes. */
export function useProof({ vmid, degraded, lifecycle }: ContainerStatus) {
  return useQuery({
    queryKey: [...proofKey(vmid), lifecycle, degraded.join()],
    queryFn: ({ signal }) => take(client.GET("/api/containers/{vmid}/proof", { params: { path: { vmid } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => {
      const isMovingNow = state.data && (isChecking(state.data) || state.data.links.some((link) => link.state === "doubtful"));
      return isMovingNow ? PROOF_MOVING_MS : PROOF_MS;
    },
  });
}

/** Let the platform look now; what it sees follows by itself. */
export function useCheck(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/containers/{vmid}/check", { params: { path: { vmid } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: proofKey(vmid) }),
  });
}

export function useCreateContainer() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ wish, key }: { wish: CreateContainer; key: string }) =>
      take(client.POST("/api/containers", { body: wish, headers: { "Idempotency-Key": key } })),
    onSuccess: (status) => noteContainer(queries, status),
  });
}

/** How much a container may use here; changes with the configuration alone. */
export function useLimits() {
  return useQuery({ queryKey: ["limits"], staleTime: 5 * 60_000, queryFn: ({ signal }) => take(client.GET("/api/limits", { signal })) });
}

export type Power = "start" | "stop" | "restart" | "kill";

export function usePower(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (power: Power) => {
      const params = { params: { path: { vmid } } };
      switch (power) {
        case "start":
          return take(client.POST("/api/containers/{vmid}/start", params));
        case "stop":
          return take(client.POST("/api/containers/{vmid}/stop", params));
        case "restart":
          return take(client.POST("/api/containers/{vmid}/restart", params));
        case "kill":
          return take(client.POST("/api/containers/{vmid}/kill", params));
      }
    },
    onSuccess: (status) => noteContainer(queries, status),
  });
}

/** Change what is named; all of it, or nothing where any of it cannot be. */
export function usePatch(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (wish: Partial<PatchContainer>) =>
      take(client.PATCH("/api/containers/{vmid}", { params: { path: { vmid } }, body: { name: null, power: null, resources: null, enableCodeServer: null, sudo: null, ...wish } })),
    onSuccess: (status) => noteContainer(queries, status),
  });
}

/** Clone again what could not be cloned, and run the start script once more. */
export function useRetryWorkspace(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/containers/{vmid}/workspace/retry", { params: { path: { vmid } } })),
    onSuccess: (status) => noteContainer(queries, status),
  });
}

export function useDeleteContainer(vmid: number) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.DELETE("/api/containers/{vmid}", { params: { path: { vmid } } })),
    onSuccess: (status) => noteContainer(queries, status),
  });
}

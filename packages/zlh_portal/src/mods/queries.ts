/** Mods of a game server: what is there, what there is to find, and changes, which are watched to their end. */
import { keepPreviousData, type QueryClient, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { every, useAskAnew } from "../api/asking";
import { client, take } from "../api/client";
import { healDelayMs, mayHeal } from "../api/query";
import type { ChangeProgress, FoundMod, Page, PlanMods } from "../api/types";
import { goesOn } from "./words";

const MODS = ["mods"] as const;
const SEARCH = ["mods-search"] as const;
const key = (vmid: number) => [...MODS, vmid] as const;
const at = (vmid: number) => ({ params: { path: { vmid } } });
const HEAL_MS = 20_000;
const WATCH_MS = 700;

/** `start` is that of the server, which has what was there then. */
export function useMods(vmid: number, isHeard: boolean, start: string | null) {
  useAskAnew(MODS, vmid, start ?? "");
  return useQuery({ queryKey: key(vmid), enabled: isHeard, refetchInterval: every(HEAL_MS), queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/mods", { ...at(vmid), signal })) });
}

export function useModSearch(vmid: number, query: string) {
  return useInfiniteQuery({
    queryKey: [...SEARCH, vmid, query], placeholderData: keepPreviousData, staleTime: 60_000, retry: false,
    initialPageParam: 0,
    getNextPageParam: ({ next }: Page<FoundMod>) => (next === undefined ? undefined : Number(next)),
    queryFn: ({ pageParam, signal }): Promise<Page<FoundMod>> => take(client.GET("/api/game/{vmid}/mods/search", { params: { path: { vmid }, query: { query, after: pageParam } }, signal })),
  });
}

/** Versions of a project that fit the server, the newest first; none are asked for while there is no project. */
export function useModVersions(vmid: number, project: string | null) {
  return useQuery({
    queryKey: ["mods-versions", vmid, project], enabled: project !== null, staleTime: 60_000, retry: false,
    queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/mods/{project}/versions", { params: { path: { vmid, project: project ?? "" } }, signal })),
  });
}

/** What a wish would do; nothing is changed by asking. */
export function useModPlan(vmid: number, wish: PlanMods) {
  return useQuery({
    queryKey: ["mods-plan", vmid, wish], gcTime: 0, staleTime: 0, retry: false, refetchOnWindowFocus: false,
    queryFn: ({ signal }) => take(client.POST("/api/game/{vmid}/mods/plan", { ...at(vmid), body: wish, signal })),
  });
}

/** Ask anew for what is there, and for what was found: of each it says whether it is there. */
function noteChanged(queries: QueryClient, vmid: number): Promise<void> {
  // Modrinth may take its time; what is there does not wait for it.
  void queries.invalidateQueries({ queryKey: [...SEARCH, vmid] });
  return queries.invalidateQueries({ queryKey: key(vmid) });
}

/** A change until it is done or has failed, or nobody knows it any more; then what is there is asked for anew. */
export function useChangeProgress(vmid: number, begun: ChangeProgress | null) {
  const queries = useQueryClient();
  return useQuery<ChangeProgress>({
    queryKey: ["mods-change", vmid, begun?.id], enabled: begun !== null,
    refetchInterval: ({ state: { data, error, errorUpdateCount } }) => goesOn(data ?? { state: "running" }, error) && (healDelayMs(error, errorUpdateCount) || WATCH_MS),
    queryFn: async ({ signal }) => {
      try {
        const progress = await take(client.GET("/api/game/{vmid}/mods/changes/{change}", { params: { path: { vmid, change: begun?.id ?? "" } }, signal }));
        if (progress.state !== "running") await noteChanged(queries, vmid);
        return progress;
      } catch (error) {
        if (!mayHeal(error)) await noteChanged(queries, vmid);
        throw error;
      }
    },
  });
}

export function useApplyMods(vmid: number) {
  return useMutation({ mutationFn: (wish: PlanMods) => take(client.POST("/api/game/{vmid}/mods", { ...at(vmid), body: wish })) });
}

export type Switch = "enable" | "disable" | "pin" | "unpin" | "repair";

export function useSwitchMod(vmid: number) {
  return useMutation({
    mutationFn: ({ project, to }: { project: string; to: Switch }): Promise<ChangeProgress> => {
      const params = { params: { path: { vmid, project } } };
      switch (to) {
        case "enable":
          return take(client.POST("/api/game/{vmid}/mods/{project}/enable", params));
        case "disable":
          return take(client.POST("/api/game/{vmid}/mods/{project}/disable", params));
        case "pin":
          return take(client.POST("/api/game/{vmid}/mods/{project}/pin", params));
        case "unpin":
          return take(client.POST("/api/game/{vmid}/mods/{project}/unpin", params));
        case "repair":
          return take(client.POST("/api/game/{vmid}/mods/{project}/repair", params));
      }
    },
  });
}

export function useRollBackMods(vmid: number) {
  return useMutation({ mutationFn: (changeId: string) => take(client.POST("/api/game/{vmid}/mods/rollback", { ...at(vmid), body: { changeId, reason: "" } })) });
}

export function useVerifyMods(vmid: number) {
  const queries = useQueryClient();
  return useMutation({ mutationFn: () => take(client.POST("/api/game/{vmid}/mods/verify", at(vmid))), onSuccess: (report) => queries.setQueryData(key(vmid), report) });
}

export function useIdentifyMods(vmid: number) {
  return useMutation({ mutationFn: (adopt: boolean) => take(client.POST("/api/game/{vmid}/mods/identify", { ...at(vmid), body: { adopt } })) });
}

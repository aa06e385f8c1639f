/** Mods of a game server: what is there, what there is to find, and changes, which are watched to their end. */
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { ChangeProgress, PlanMods } from "../api/types";

const key = (vmid: number) => ["mods", vmid] as const;
const at = (vmid: number) => ({ params: { path: { vmid } } });
const HEAL_MS = 20_000;
const WATCH_MS = 700;

export function useMods(vmid: number, isHeard: boolean) {
  return useQuery({ queryKey: key(vmid), enabled: isHeard, refetchInterval: HEAL_MS, queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/mods", { ...at(vmid), signal })) });
}

export function useModSearch(vmid: number, query: string) {
  return useQuery({
    queryKey: ["mods-search", vmid, query], placeholderData: keepPreviousData, staleTime: 60_000, retry: false,
    queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/mods/search", { params: { path: { vmid }, query: { query } }, signal })),
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

/** A change until it is done or has failed; then what is there is asked for anew. */
export function useChangeProgress(vmid: number, begun: ChangeProgress | null) {
  const queries = useQueryClient();
  return useQuery<ChangeProgress>({
    queryKey: ["mods-change", vmid, begun?.id], enabled: begun !== null,
    refetchInterval: ({ state }) => (state.data && state.data.state !== "running" ? false : WATCH_MS),
    queryFn: async ({ signal }) => {
      const progress = await take(client.GET("/api/game/{vmid}/mods/changes/{change}", { params: { path: { vmid, change: begun?.id ?? "" } }, signal }));
      if (progress.state !== "running") await queries.invalidateQueries({ queryKey: key(vmid) });
      return progress;
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

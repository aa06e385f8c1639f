/** Game servers: what the API knows of one, and what its agent answers. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { every, useAskAnew } from "../api/asking";
import { client, take } from "../api/client";
import type { ContainerStatus, GameValue, PlayerSessions } from "../api/types";
import { oneKey } from "../containers/queries";
import { useIsLive } from "../live/liveness";
import { GAME } from "./keys";

const HEAL_MS = 60_000;
const POLL_MS = 4_000;
const PLAYERS_MS = 5_000;
const LOOKS_MS = 20_000;
const STAYS = 25;

const at = (vmid: number) => ({ params: { path: { vmid } } });

/** Asked for anew whenever the report of the container shows that something of its server has moved. */
export function useGame(status: Pick<ContainerStatus, "vmid" | "kind" | "game" | "specGeneration"> | undefined) {
  const isLive = useIsLive();
  const vmid = status?.vmid ?? 0;
  const { specGeneration, game } = status ?? {};
  useAskAnew(GAME, vmid, status ? JSON.stringify([specGeneration, game?.state, game?.installedVersion, game?.hintCode, game?.ports]) : null);
  return useQuery({
    queryKey: [...GAME, vmid],
    enabled: status?.kind === "game",
    refetchInterval: every(isLive ? HEAL_MS : POLL_MS),
    queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}", { ...at(vmid), signal })),
  });
}

/** Who plays now; only the agent knows. */
export function usePlayers(vmid: number, isHeard: boolean) {
  return useQuery({
    queryKey: ["game-players", vmid], enabled: isHeard, refetchInterval: PLAYERS_MS,
    queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/players", { ...at(vmid), signal })),
  });
}

/** Who has played, the newest first. */
export function useStays(vmid: number, isHeard: boolean) {
  return useInfiniteQuery({
    queryKey: ["game-stays", vmid], enabled: isHeard, refetchInterval: every(LOOKS_MS),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ next }: PlayerSessions) => (next ? Number(next) : undefined),
    queryFn: ({ pageParam, signal }): Promise<PlayerSessions> => {
      const query = pageParam === undefined ? { limit: STAYS } : { before: pageParam, limit: STAYS };
      return take(client.GET("/api/game/{vmid}/players/history", { params: { path: { vmid }, query }, signal }));
    },
  });
}

export function useTelemetry(vmid: number, isHeard: boolean) {
  return useQuery({
    queryKey: ["game-telemetry", vmid], enabled: isHeard, refetchInterval: every(LOOKS_MS),
    queryFn: ({ signal }) => take(client.GET("/api/game/{vmid}/telemetry", { ...at(vmid), signal })),
  });
}

function useChange<T, R>(vmid: number, mutationFn: (wish: T) => Promise<R>) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn,
    onSettled: () => Promise.all([[...GAME, vmid], oneKey(vmid)].map((queryKey) => queries.invalidateQueries({ queryKey }))),
  });
}

export function usePatchGame(vmid: number) {
  return useChange(vmid, (variables: Record<string, GameValue>) => take(client.PATCH("/api/game/{vmid}", { ...at(vmid), body: { variables } })));
}

interface VersionWish {
  version: string;
  backup: boolean;
  acceptEula: boolean;
}

export function useChangeVersion(vmid: number) {
  return useChange(vmid, (body: VersionWish) => take(client.POST("/api/game/{vmid}/version", { ...at(vmid), body })));
}

export function useBackUp(vmid: number) {
  return useChange(vmid, () => take(client.POST("/api/game/{vmid}/backups", at(vmid))));
}

export function useRestore(vmid: number) {
  return useChange(vmid, (backupId: string) => take(client.POST("/api/game/{vmid}/restore", { ...at(vmid), body: { backupId } })));
}

export function useVerifyGame(vmid: number) {
  return useChange(vmid, () => take(client.POST("/api/game/{vmid}/verify", at(vmid))));
}

export function useSendCommand(vmid: number) {
  return useMutation({ mutationFn: (command: string) => take(client.POST("/api/game/{vmid}/commands", { ...at(vmid), body: { command } })) });
}

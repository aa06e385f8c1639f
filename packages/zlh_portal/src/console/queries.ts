/** Terminals of a container, and why one cannot be reached. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import type { Diagnosis } from "./link";

/** The persistent shell of a dev container; it is made on the first attach. */
export const MAIN = "main";

const keyOf = (vmid: number) => ["terminals", vmid] as const;

async function fetchTerminals(vmid: number, signal?: AbortSignal) {
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

/** Return where a terminal is attached to. */
export function pathOf(vmid: number, terminal: string): string {
  return terminal === MAIN
    ? `/api/containers/${vmid}/console`
    : `/api/containers/${vmid}/terminals/${encodeURIComponent(terminal)}`;
}

/** Ask over HTTP why a socket did not open. */
export async function diagnose(vmid: number, terminal: string): Promise<Diagnosis> {
  try {
    const terminals = await fetchTerminals(vmid);
    const isThere = terminal === MAIN || terminals.some((entry) => entry.id === terminal);
    return isThere ? { reason: null, isFinal: false } : { reason: "This terminal no longer exists.", isFinal: true };
  } catch (error) {
    const { status, detail } = asApiError(error);
    return { reason: detail, isFinal: status === 401 || status === 403 || status === 404 };
  }
}

/** One's own password, sessions and tokens. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { ME } from "../api/query";
import type { CreateToken } from "../api/types";

const SESSIONS = ["account", "sessions"] as const;
const TOKENS = ["account", "tokens"] as const;
const POLL_MS = 30_000;

export function useChangePassword() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { currentPassword: string; newPassword: string }) => take(client.POST("/api/me/password", { body })),
    onSuccess: () => Promise.all([SESSIONS, ME].map((queryKey) => queries.invalidateQueries({ queryKey }))),
  });
}

export function useSessions() {
  return useQuery({ queryKey: SESSIONS, refetchInterval: POLL_MS, queryFn: async ({ signal }) => (await take(client.GET("/api/sessions", { signal }))).items });
}

export function useEndSession() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (session: string) => take(client.DELETE("/api/sessions/{session}", { params: { path: { session } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: SESSIONS }),
  });
}

export function useEndOthers() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/sessions/end-others")),
    onSettled: () => queries.invalidateQueries({ queryKey: SESSIONS }),
  });
}

export function useTokens() {
  return useQuery({ queryKey: TOKENS, refetchInterval: POLL_MS, queryFn: async ({ signal }) => (await take(client.GET("/api/tokens", { signal }))).items });
}

export function useMakeToken() {
  const queries = useQueryClient();
  return useMutation({
    // The answer holds a secret, which is not kept any longer than it is shown.
    gcTime: 0,
    mutationFn: (body: CreateToken) => take(client.POST("/api/tokens", { body })),
    onSettled: () => queries.invalidateQueries({ queryKey: TOKENS }),
  });
}

export function useDeleteToken() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (token: string) => take(client.DELETE("/api/tokens/{token}", { params: { path: { token } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: TOKENS }),
  });
}

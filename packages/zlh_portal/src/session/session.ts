/** Who is signed in. */
import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, take } from "../api/client";
import { askAgainMs, endsSession, ME, noteEnd } from "../api/query";
import { currentStanding, tell } from "../api/standing";
import type { ContainerStatus, Me, Permission } from "../api/types";
import { forgetOthers } from "../files/uploads/remembered";
import { tellOtherTabs } from "./otherTabs";
import { type Rights, rightsOn, whyNot } from "./permissions";

const ASK_MS = 60_000;

export function useMe() {
  const queries = useQueryClient();
  return useQuery<Me | null>({
    queryKey: ME,
    // A role may change at any time, and a session end; a refusal and the live stream have it asked for at once.
    staleTime: 20_000,
    refetchInterval: ({ state }) => (state.data === undefined ? askAgainMs(state, ASK_MS) : ASK_MS),
    queryFn: async ({ signal }) => {
      try {
        const me = await take(client.GET("/api/me", { signal }));
        // They have come back in another tab, or somebody else has.
        const before = queries.getQueryData<Me | null>(ME);
        if (currentStanding().hasEnded || (before && before.user.id !== me.user.id)) becomes(queries, me);
        return me;
      } catch (error) {
        if (endsSession(error)) return noteEnd(queries);
        throw error;
      }
    },
  });
}

export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { email: string; password: string }) => take(client.POST("/api/auth/login", { body })),
    onSuccess: (me: Me) => switchTo(queries, me),
  });
}

/** Somebody has signed in here, or out: the browser's other tabs follow. */
export function switchTo(queries: QueryClient, me: Me | null): void {
  becomes(queries, me);
  tellOtherTabs();
}

/** Somebody is signed in, or nobody: who comes back finds everything as it was, and what another person has seen is thrown away. */
function becomes(queries: QueryClient, me: Me | null): void {
  const before = queries.getQueryData<Me | null>(ME);
  tell({ type: "signed-in" });
  if (me && before?.user.id === me.user.id) {
    queries.setQueryData(ME, me);
    void queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== ME[0] });
    return;
  }
  // Not clear(): whoever shows who is signed in would go on looking at the entry that was thrown away.
  queries.setQueryData(ME, me);
  forgetOthers(me?.user.id ?? null);
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== ME[0] });
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/auth/logout")),
    onSuccess: () => switchTo(queries, null),
  });
}

/** Return why this person may not act so, as far as the portal can know; null where they may. The API decides. */
export function useWhyNot(permission: Permission, customerId: string | null = null): string | null {
  const { data: me } = useMe();
  return whyNot(me, permission, customerId);
}

/** Return what this person may do with a container. */
export function useRights(status: ContainerStatus): Rights {
  const { data: me } = useMe();
  return rightsOn(me, status);
}

/** Tell whether one who comes to this place may be here; who was let in stays, to read why it has ended. */
export function useMayStay(permission: Permission, customerId: string): boolean {
  const [wasLetIn, setLetIn] = useState(false);
  const may = useWhyNot(permission, customerId) === null;
  if (may && !wasLetIn) setLetIn(true);
  return may || wasLetIn;
}

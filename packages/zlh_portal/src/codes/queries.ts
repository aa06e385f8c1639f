/** What one-time codes lead to. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { InvitationSeen } from "../api/types";
import { switchTo } from "../session/session";

/** What an invitation is for; kept no longer than it is shown, since its key holds the code. */
export function useInvitation(code: string) {
  return useQuery<InvitationSeen>({
    queryKey: ["invitation", code],
    gcTime: 0,
    staleTime: "static",
    queryFn: ({ signal }) => take(client.POST("/api/invitations/look", { body: { code }, signal })),
  });
}

export function useAccept(code: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (password: string | null) => take(client.POST("/api/invitations/accept", { body: { code, password } })),
    onSuccess: (me) => switchTo(queries, me),
  });
}

export function useResetPassword(code: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (newPassword: string) => take(client.POST("/api/password-resets/accept", { body: { code, newPassword } })),
    // Every session of the user has ended, which may have been the one of this browser.
    onSuccess: () => switchTo(queries, null),
  });
}

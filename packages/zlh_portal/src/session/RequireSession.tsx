/** Lets nobody further who is not signed in, and brings them back afterwards. */
import { Center, Container, Loader } from "@mantine/core";
import { type ReactNode, Suspense, useEffect, useState } from "react";
import { Navigate, useLocation } from "react-router";
import { currentStanding, useStanding } from "../api/standing";
import { UploadsProvider } from "../files/uploads/UploadsProvider";
import { lazily } from "../layout/lazily";
import { Problem } from "../layout/Problem";
import { LiveProvider } from "../live/LiveProvider";
import type { CameFrom } from "./next";
import { useMe } from "./session";

const ComeBack = lazily("ComeBack", () => import("./ComeBack"));

export function RequireSession({ children }: { children: ReactNode }) {
  const { data: me, error, refetch } = useMe();
  const { pathname, search } = useLocation();
  const hasEnded = useStanding((standing) => standing.hasEnded);
  const [lastId, setLastId] = useState<string | null>(null);
  if (me && me.user.id !== lastId) setLastId(me.user.id);
  useHeldEscape();
  if (me) {
    // Nothing that one person has typed is there for another.
    return (
      <LiveProvider key={me.user.id}>
        <UploadsProvider userId={me.user.id}>{children}</UploadsProvider>
        {hasEnded && <Suspense><ComeBack email={me.user.email} /></Suspense>}
      </LiveProvider>
    );
  }
  if (me === null) return <Navigate to="/login" replace state={{ from: pathname + search, of: lastId } satisfies CameFrom} />;
  if (error) {
    return (
      <Container size="xs" py={80}>
        <Problem error={error} title="The portal cannot reach its API" onRetry={() => void refetch()} />
      </Container>
    );
  }
  return <Center h="100vh"><Loader role="status" aria-label="Loading" /></Center>;
}

/** While somebody has to come back, Escape reaches no window below, which would close with all that is typed in it: so this listens before any of them. */
function useHeldEscape(): void {
  useEffect(() => {
    const hold = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !currentStanding().hasEnded) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    window.addEventListener("keydown", hold, { capture: true });
    return () => window.removeEventListener("keydown", hold, { capture: true });
  }, []);
}

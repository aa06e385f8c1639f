/** Lets nobody further who is not signed in, and brings them back afterwards. */
import { Center, Container, Loader } from "@mantine/core";
import type { ReactNode } from "react";
import { Navigate, useLocation } from "react-router";
import { UploadsProvider } from "../files/uploads/UploadsProvider";
import { Problem } from "../layout/Problem";
import { LiveProvider } from "../live/LiveProvider";
import { useMe } from "./session";

export function RequireSession({ children }: { children: ReactNode }) {
  const { data: me, error, refetch } = useMe();
  const { pathname, search } = useLocation();
  if (me) return <LiveProvider><UploadsProvider>{children}</UploadsProvider></LiveProvider>;
  if (me === null) return <Navigate to="/login" replace state={{ from: pathname + search }} />;
  if (error) {
    return (
      <Container size="xs" py={80}>
        <Problem error={error} title="The portal cannot reach its API" onRetry={() => void refetch()} />
      </Container>
    );
  }
  return <Center h="100vh"><Loader aria-label="Loading" /></Center>;
}

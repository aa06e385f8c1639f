import { Center, Loader, Text } from "@mantine/core";
import { useEffect } from "react";
import { Navigate, useLocation } from "react-router";
import { PublicFrame } from "../layout/PublicFrame";
import { usePageTitle } from "../layout/title";
import { cameFrom, parseNext } from "./next";
import { useMe } from "./session";
import { SignInForm } from "./SignInForm";

export function LoginPage() {
  usePageTitle("Sign in");
  const { data: me } = useMe();
  const location = useLocation();
  const next = parseNext(location.search);
  useEffect(() => {
    // It is no page of the portal: the API sends the browser on to where it came from.
    if (me && next) window.location.replace(next);
  }, [me, next]);
  if (me && next) return <Center h="100vh"><Loader role="status" aria-label="Signing in" /></Center>;
  if (me) return <Navigate to={cameFrom(location.state, me.user.id)} replace />;
  return (
    <PublicFrame title="Sign in to ZLH">
      {next && <Text size="sm" ta="center">The address that you have opened is not open to everybody. Sign in, and you come back to it.</Text>}
      <SignInForm />
      <Text size="sm" c="dimmed" ta="center">Lost your password? Whoever runs the platform can make a link for a new one. On your own machine, <code>make dev</code> prints the login.</Text>
    </PublicFrame>
  );
}

import { Text } from "@mantine/core";
import { Navigate, useLocation } from "react-router";
import { PublicFrame } from "../layout/PublicFrame";
import { usePageTitle } from "../layout/title";
import { useMe } from "./session";
import { SignInForm } from "./SignInForm";

export function LoginPage() {
  usePageTitle("Sign in");
  const { data: me } = useMe();
  const location = useLocation();
  if (me) return <Navigate to={cameFrom(location.state)} replace />;
  return (
    <PublicFrame title="Sign in to ZLH">
      <SignInForm />
      <Text size="sm" c="dimmed" ta="center">Lost your password? Whoever runs the platform can make a link for a new one. On your own machine, <code>make dev</code> prints the login.</Text>
    </PublicFrame>
  );
}

/** Return the page that asked for the sign-in; only a path of our own. */
function cameFrom(state: unknown): string {
  const from = typeof state === "object" && state !== null && "from" in state ? state.from : null;
  return typeof from === "string" && /^\/(?![/\\])/.test(from) ? from : "/";
}

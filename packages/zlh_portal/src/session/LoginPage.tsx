import { Button, Center, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Navigate, useLocation } from "react-router";
import { ColorSchemeButton } from "../layout/ColorSchemeButton";
import { Mark } from "../layout/icons";
import { Problem } from "../layout/Problem";
import { usePageTitle } from "../layout/title";
import { useMe, useSignIn } from "./session";

export function LoginPage() {
  usePageTitle("Sign in");
  const { data: me } = useMe();
  const signIn = useSignIn();
  const location = useLocation();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  if (me) return <Navigate to={cameFrom(location.state)} replace />;

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    signIn.mutate({ email: email.trim(), password });
  };
  return (
    <Center mih="100vh" p="md" component="main">
      <Stack w="100%" maw={380} gap="lg">
        <Group justify="space-between">
          <Group gap="sm"><Mark size={36} /><Title order={1}>Sign in to ZLH</Title></Group>
          <ColorSchemeButton />
        </Group>
        <Paper p="lg" shadow="sm">
          <form onSubmit={submit}>
            <Stack>
              {signIn.error && <Problem error={signIn.error} title="You are not signed in" />}
              <TextInput label="E-mail" type="email" name="email" autoComplete="username" required withAsterisk={false} autoFocus value={email} onChange={(event) => setEmail(event.currentTarget.value)} />
              <PasswordInput label="Password" name="password" autoComplete="current-password" required withAsterisk={false} value={password} onChange={(event) => setPassword(event.currentTarget.value)} />
              <Button type="submit" loading={signIn.isPending} fullWidth>Sign in</Button>
            </Stack>
          </form>
        </Paper>
        <Text size="sm" c="dimmed" ta="center">On your own machine, <code>make dev</code> prints the login.</Text>
      </Stack>
    </Center>
  );
}

/** Return the page that asked for the sign-in; only a path of our own. */
function cameFrom(state: unknown): string {
  const from = typeof state === "object" && state !== null && "from" in state ? state.from : null;
  return typeof from === "string" && /^\/(?!\/)/.test(from) ? from : "/";
}

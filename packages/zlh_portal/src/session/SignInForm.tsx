/** Asks for e-mail address and password. */
import { Button, Paper, PasswordInput, Stack, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Problem } from "../layout/Problem";
import { useSignIn } from "./session";

/** `email` is who has to sign in, where nobody else will do. */
export function SignInForm({ email: fixed }: { email?: string }) {
  const signIn = useSignIn();
  const [email, setEmail] = useState(fixed ?? "");
  const [password, setPassword] = useState("");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!signIn.isPending) signIn.mutate({ email: email.trim(), password });
  };
  return (
    <Paper p="lg" shadow="sm">
      <form onSubmit={submit} aria-label="Sign in">
        <Stack>
          {signIn.error && <Problem error={signIn.error} title="You are not signed in" />}
          <TextInput label="E-mail" type="email" name="email" autoComplete="username" required withAsterisk={false} autoFocus={!fixed} readOnly={fixed !== undefined} value={email} onChange={(event) => setEmail(event.currentTarget.value)} />
          <PasswordInput label="Password" name="password" autoComplete="current-password" required withAsterisk={false} autoFocus={fixed !== undefined} value={password} onChange={(event) => setPassword(event.currentTarget.value)} />
          <Button type="submit" loading={signIn.isPending} fullWidth>Sign in</Button>
        </Stack>
      </form>
    </Paper>
  );
}

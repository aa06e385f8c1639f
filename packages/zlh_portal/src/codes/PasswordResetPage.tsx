/** Where the link for a new password leads. */
import { Anchor, Button, Paper, PasswordInput, Stack, Text } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Link } from "react-router";
import { complainAboutPassword, LEAST_CHARS } from "../account/password";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import { Problem } from "../layout/Problem";
import { PublicFrame } from "../layout/PublicFrame";
import { usePageTitle } from "../layout/title";
import { DeadLink } from "./DeadLink";
import { useResetPassword } from "./queries";
import { useCode } from "./useCode";

export function PasswordResetPage() {
  usePageTitle("New password");
  const code = useCode();
  return (
    <PublicFrame title="New password">
      {code === null ? <DeadLink what="This link has no code in it." next="It may have been cut when it was copied. Open the whole link, up to its last character." /> : <Reset key={code} code={code} />}
    </PublicFrame>
  );
}

function Reset({ code }: { code: string }) {
  const reset = useResetPassword(code);
  const [password, setPassword] = useState("");
  const [complaint, setComplaint] = useState<string | null>(null);
  const error = reset.error && asApiError(reset.error);
  const refused = error && splitByField(error, ["newPassword"]);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const wrong = complainAboutPassword(password);
    setComplaint(wrong);
    if (wrong === null && !reset.isPending) reset.mutate(password);
  };
  if (reset.isSuccess) {
    return (
      <Paper p="lg" shadow="sm" role="status" data-testid="password-set">
        <Stack gap="sm">
          <Text>Your new password is set, and every session of yours has ended.</Text>
          <Anchor component={Link} to="/login">Sign in</Anchor>
        </Stack>
      </Paper>
    );
  }
  return (
    <Paper p="lg" shadow="sm">
      <form onSubmit={submit} noValidate aria-label="Choose a new password">
        <Stack>
          {error && refused?.rest && <Problem error={error} title="The password stays as it was" />}
          <PasswordInput
            label="New password" description={`At least ${LEAST_CHARS} characters. All of your sessions end with it.`} autoComplete="new-password" autoFocus value={password} error={complaint ?? refused?.fields["newPassword"]}
            onChange={(event) => {
              forgetOutcome(reset);
              setComplaint(null);
              setPassword(event.currentTarget.value);
            }}
          />
          <Button type="submit" loading={reset.isPending}>Set the password</Button>
        </Stack>
      </form>
    </Paper>
  );
}

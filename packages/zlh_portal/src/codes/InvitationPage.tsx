/** Where the link of an invitation leads: who invites to what, and how one joins. */
import { Button, Paper, PasswordInput, Skeleton, Stack, Text } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { useNavigate } from "react-router";
import { complainAboutPassword, LEAST_CHARS } from "../account/password";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome, mayHeal } from "../api/query";
import { useStanding } from "../api/standing";
import type { InvitationSeen } from "../api/types";
import { ROLE_WORDS } from "../customers/roles";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { PublicFrame } from "../layout/PublicFrame";
import { TimeUntil } from "../layout/TimeUntil";
import { tellDone } from "../layout/tell";
import { usePageTitle } from "../layout/title";
import { isolate } from "../layout/words";
import { useMe, useSignOut } from "../session/session";
import { SignInForm } from "../session/SignInForm";
import { DeadLink } from "./DeadLink";
import { useAccept, useInvitation } from "./queries";
import { useCode } from "./useCode";

const NEXT = "An invitation works once and for a while. Ask whoever sent you the link for another one; if you have joined already, sign in.";

export function InvitationPage() {
  usePageTitle("Invitation");
  const code = useCode();
  return (
    <PublicFrame title="Invitation" maw={440}>
      {code === null ? <DeadLink what="This link has no invitation in it." next="It may have been cut when it was copied. Open the whole link, up to its last character." /> : <Seen key={code} code={code} />}
    </PublicFrame>
  );
}

function Seen({ code }: { code: string }) {
  const query = useInvitation(code);
  if (query.data) return <Offer code={code} invitation={query.data} />;
  if (query.isPending) return <Paper p="lg" role="status" aria-label="Looking at the invitation"><Stack><Skeleton h={44} /><Skeleton h={36} /><Skeleton h={36} /></Stack></Paper>;
  if (mayHeal(query.error) || asApiError(query.error).status === 429) return <Problem error={query.error} title="The invitation cannot be looked at now" onRetry={() => void query.refetch()} />;
  return <DeadLink what={asApiError(query.error).detail} next={NEXT} />;
}

function Offer({ code, invitation }: { code: string; invitation: InvitationSeen }) {
  const { data, isPending } = useMe();
  // Who was signed in when the page was opened may have left in another tab.
  const hasEnded = useStanding((standing) => standing.hasEnded);
  const me = hasEnded ? null : data;
  const { customer, email, role, expiresAt, hasAccount } = invitation;
  return (
    <Stack gap="md">
      <Paper p="lg" shadow="sm" data-testid="invitation-seen">
        <Text size="lg" fw={600} style={{ overflowWrap: "anywhere" }}>Join <Name text={customer} /></Text>
        <Text size="sm" mt={4} style={{ overflowWrap: "anywhere" }}>
          <Name text={email} /> is invited. Role: {ROLE_WORDS[role].label.toLowerCase()}, which {ROLE_WORDS[role].does}.
        </Text>
        <Text size="xs" c="dimmed" mt={4} component="div">The invitation ends <TimeUntil time={expiresAt} ended="now" />.</Text>
      </Paper>
      {isPending ? <Skeleton h={120} role="status" aria-label="Loading" /> : me ? <Join code={code} invitation={invitation} signedIn={me.user.email} /> : hasAccount ? <SignInFirst email={email} /> : <ChoosePassword code={code} invitation={invitation} />}
    </Stack>
  );
}

function SignInFirst({ email }: { email: string }) {
  return (
    <>
      <Text size="sm">This address has an account already. Sign in with it, and join then.</Text>
      <SignInForm email={email} />
    </>
  );
}

function useJoin(code: string, { customer }: InvitationSeen) {
  const navigate = useNavigate();
  const accept = useAccept(code);
  const join = (password: string | null) =>
    accept.mutate(password, {
      onSuccess: () => {
        tellDone(`You belong to ${isolate(customer)} now.`);
        void navigate("/", { replace: true });
      },
    });
  return { accept, join };
}

function Join({ code, invitation, signedIn }: { code: string; invitation: InvitationSeen; signedIn: string }) {
  const { accept, join } = useJoin(code, invitation);
  const signOut = useSignOut();
  const isOther = signedIn.toLowerCase() !== invitation.email.toLowerCase();
  return (
    <Paper p="lg" shadow="sm">
      <Stack>
        {accept.error && <Problem error={accept.error} title="You have not joined" />}
        {signOut.error && <Problem error={signOut.error} title="You are still signed in" />}
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          You are signed in as <Name text={signedIn} />.{isOther && <> The invitation is for <Name text={invitation.email} />, so nobody else can accept it.</>}
        </Text>
        {isOther ? <Button variant="default" loading={signOut.isPending} onClick={() => signOut.mutate()}>Sign out and go on</Button> : <Button loading={accept.isPending} onClick={() => join(null)}>Join</Button>}
      </Stack>
    </Paper>
  );
}

function ChoosePassword({ code, invitation }: { code: string; invitation: InvitationSeen }) {
  const { accept, join } = useJoin(code, invitation);
  const [password, setPassword] = useState("");
  const [complaint, setComplaint] = useState<string | null>(null);
  const refused = accept.error ? splitByField(asApiError(accept.error), ["password"]) : null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const wrong = complainAboutPassword(password);
    setComplaint(wrong);
    if (wrong === null && !accept.isPending) join(password);
  };
  return (
    <Paper p="lg" shadow="sm">
      <form onSubmit={submit} noValidate aria-label="Choose a password and join">
        <Stack>
          {accept.error && refused?.rest && <Problem error={accept.error} title="You have not joined" />}
          <input type="hidden" name="email" autoComplete="username" value={invitation.email} readOnly />
          <PasswordInput
            label="Choose a password" description={`At least ${LEAST_CHARS} characters; you sign in with it and your e-mail address from now on.`} autoComplete="new-password" autoFocus value={password} error={complaint ?? refused?.fields["password"]}
            onChange={(event) => {
              forgetOutcome(accept);
              setComplaint(null);
              setPassword(event.currentTarget.value);
            }}
          />
          <Button type="submit" loading={accept.isPending}>Make my account and join</Button>
        </Stack>
      </form>
    </Paper>
  );
}

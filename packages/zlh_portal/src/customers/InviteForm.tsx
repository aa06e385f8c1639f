/** Asks somebody to join; the link is shown once, since no mail is sent. */
import { Alert, Button, Group, Select, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Customer, InvitationMade, Role } from "../api/types";
import { LiveRegion } from "../layout/LiveRegion";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { Secret } from "../layout/Secret";
import { TimeUntil } from "../layout/TimeUntil";
import { complainAboutEmail } from "./email";
import { useInvite } from "./queries";
import { ROLE_WORDS, ROLES } from "./roles";

const DAY_S = 86_400;
const LASTS: readonly [number, string][] = [[DAY_S, "1 day"], [7 * DAY_S, "7 days"], [30 * DAY_S, "30 days"]];

export function InviteForm({ customer }: { customer: Customer }) {
  const invite = useInvite(customer.id);
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const [lastsS, setLastsS] = useState(7 * DAY_S);
  const [complaint, setComplaint] = useState<string | null>(null);
  const [made, setMade] = useState<InvitationMade | null>(null);
  const refused = invite.error ? splitByField(asApiError(invite.error), ["email", "role"]) : null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (invite.isPending) return;
    const wrong = complainAboutEmail(email);
    setComplaint(wrong);
    if (wrong) return;
    invite.mutate(
      { email: email.trim(), role, expiresInS: lastsS },
      {
        onSuccess: (answer) => {
          setMade(answer);
          setEmail("");
        },
      },
    );
  };
  return (
    <Stack gap="sm">
      <form onSubmit={submit} noValidate aria-label="Invite somebody">
        <Stack gap="sm">
          {invite.error && refused?.rest && <Problem error={invite.error} title="Nobody was invited" />}
          <Group align="flex-start" gap="sm">
            <TextInput
              label="E-mail" type="email" inputMode="email" autoComplete="off" placeholder="ann@example.com" flex="1 1 220px" value={email} error={complaint ?? refused?.fields["email"]}
              onChange={(event) => {
                forgetOutcome(invite);
                setComplaint(null);
                setEmail(event.currentTarget.value);
              }}
            />
            <Select
              label="Role" w={130} allowDeselect={false} value={role} onChange={(value) => value && setRole(value)} error={refused?.fields["role"]}
              data={ROLES.map((value) => ({ value, label: ROLE_WORDS[value].label }))}
            />
            <Select
              label="Valid for" w={110} allowDeselect={false} value={String(lastsS)} onChange={(value) => value && setLastsS(Number(value))}
              data={LASTS.map(([seconds, label]) => ({ value: String(seconds), label }))}
            />
            <Button type="submit" loading={invite.isPending} mt={{ base: 0, xs: 25 }}>Make the invitation</Button>
          </Group>
          <Text size="xs" c="dimmed">{ROLE_WORDS[role].label}: {ROLE_WORDS[role].does}.</Text>
        </Stack>
      </form>
      <LiveRegion>{made && <Made made={made} onClose={() => setMade(null)} />}</LiveRegion>
    </Stack>
  );
}

function Made({ made: { invitation, url }, onClose }: { made: InvitationMade; onClose: () => void }) {
  return (
    <Alert color="teal" title={<>The invitation for <Name text={invitation.email} /> is made</>} withCloseButton closeButtonLabel="Hide the link" onClose={onClose} data-testid="invitation-made">
      <Stack gap="xs">
        <Text size="sm">
          ZLH sends no mail: hand this link to them yourself. It is shown this once, works once, and is over <TimeUntil time={invitation.expiresAt} ended="now" />. Whoever has it can join in their place.
        </Text>
        <Secret label="Link of the invitation" text={url} testId="invitation-url" />
      </Stack>
    </Alert>
  );
}

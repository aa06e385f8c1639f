/** Who was asked to join and has not answered. */
import { Badge, Button, Group, Skeleton, Text } from "@mantine/core";
import { useState } from "react";
import type { Customer, Invitation } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { TimeUntil } from "../layout/TimeUntil";
import { tellDone, tellProblem } from "../layout/tell";
import { isolate } from "../layout/words";
import { useInvitations, useWithdraw } from "./queries";
import { ROLE_WORDS } from "./roles";

export function InvitationList({ customer }: { customer: Customer }) {
  const query = useInvitations(customer.id);
  return (
    <Section title="Open invitations">
      {query.error && <Problem error={query.error} title="The invitations cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Skeleton h={44} role="status" aria-label="Loading the invitations" />}
      {query.data?.length === 0 && <Text size="sm" c="dimmed" data-testid="no-invitations">None. Whoever is invited stands here until they have joined.</Text>}
      {query.data && query.data.length > 0 && (
        <ul className={rows["list"]} aria-label="Open invitations" style={{ marginInline: -16, marginBottom: -8 }}>
          {query.data.map((invitation) => <InvitationRow key={invitation.id} customer={customer} invitation={invitation} />)}
        </ul>
      )}
    </Section>
  );
}

function InvitationRow({ customer, invitation }: { customer: Customer; invitation: Invitation }) {
  const withdraw = useWithdraw(customer.id);
  const [isAsking, setAsking] = useState(false);
  const name = isolate(invitation.email);
  const act = () =>
    withdraw.mutate(invitation.id, {
      onSuccess: () => tellDone(`The invitation for ${name} is withdrawn.`),
      onError: tellProblem("The invitation was not withdrawn"),
      onSettled: () => setAsking(false),
    });
  return (
    <li className={rows["row"]} data-testid="invitation">
      <div className={rows["grow"]}>
        <Text size="sm" fw={600}><Name text={invitation.email} /></Text>
        <Text size="xs" c="dimmed" component="div">
          Made <TimeAgo time={invitation.createdAt} />{invitation.invitedBy !== null && <> by <Name text={invitation.invitedBy} /></>} · ends <TimeUntil time={invitation.expiresAt} ended="now" />
        </Text>
      </div>
      <Group gap="xs">
        <Badge variant="light" color="gray">{ROLE_WORDS[invitation.role].label}</Badge>
        <Button size="xs" variant="subtle" color="red" c="red" aria-label={`Withdraw the invitation for ${invitation.email}`} onClick={() => setAsking(true)}>Withdraw</Button>
      </Group>
      {isAsking && (
        <ConfirmModal
          title={`Withdraw the invitation for ${name}?`} action="Withdraw" isPending={withdraw.isPending} onConfirm={act} onClose={() => setAsking(false)}
          meaning="Its link leads nowhere from then on. They can be invited again."
        />
      )}
    </li>
  );
}

/** Who belongs to a customer, as what, and who is asked to join. */
import { Paper, Skeleton, Stack } from "@mantine/core";
import type { Customer } from "../api/types";
import { LoadMore } from "../layout/LoadMore";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { MayNot } from "../session/MayNot";
import { useWhyNot } from "../session/session";
import { InvitationList } from "./InvitationList";
import { InviteForm } from "./InviteForm";
import { MemberRow } from "./MemberRow";
import { useMembers } from "./queries";
import { WhileMay } from "../session/WhileMay";

export function MembersTab({ customer }: { customer: Customer }) {
  const query = useMembers(customer.id);
  const mayManage = useWhyNot("customer:manage", customer.id) === null;
  const members = query.data?.pages.flatMap(({ items }) => items);
  return (
    <Stack gap="md" maw={860}>
      <MayNot permission="customer:manage" customerId={customer.id} />
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title="The members cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the members"><Skeleton h={60} /><Skeleton h={60} /></Stack>}
      {members && (
        <Paper p={0}>
          <ul className={rows["list"]} aria-label="Members">
            {members.map((member) => <MemberRow key={member.userId} customer={customer} member={member} mayManage={mayManage} />)}
          </ul>
        </Paper>
      )}
      <LoadMore query={query} label="Load more members" />
      <WhileMay may={mayManage}>
        <Section title="Invite somebody" about="They get a link, and choose a password if they have no account yet.">
          <InviteForm customer={customer} />
        </Section>
      </WhileMay>
      {mayManage && <InvitationList customer={customer} />}
    </Stack>
  );
}

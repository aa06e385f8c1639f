/** What was done for one customer. */
import { Text } from "@mantine/core";
import type { Customer } from "../api/types";
import { useMembers } from "../customers/queries";
import { MayNot } from "../session/MayNot";
import { useWhyNot } from "../session/session";
import { AuditLog } from "./AuditLog";
import { useFilters } from "./filters";
import { useCustomerLog } from "./queries";

export function CustomerAuditLog({ customer }: { customer: Customer }) {
  const mayView = useWhyNot("audit-log:view", customer.id) === null;
  return mayView ? <Log customer={customer} /> : <MayNot permission="audit-log:view" customerId={customer.id} />;
}

function Log({ customer }: { customer: Customer }) {
  const filters = useFilters();
  const query = useCustomerLog(customer.id, filters.asked);
  const { data: members } = useMembers(customer.id);
  return (
    <>
      <Text size="sm" c="dimmed" mb="md">Everything that was asked for this customer, done or refused. Nothing here can be changed: each entry is sealed with the one before it.</Text>
      <AuditLog query={query} filters={filters} customers={new Map([[customer.id, customer.name]])} isMixed={false} people={(members?.pages.flatMap(({ items }) => items) ?? []).map(({ userId, email }) => ({ value: userId, label: email }))} />
    </>
  );
}

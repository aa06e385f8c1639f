/** What was done for anybody. */
import { Select, Text } from "@mantine/core";
import { AuditLog } from "../auditlog/AuditLog";
import { useFilters } from "../auditlog/filters";
import { useWholeLog } from "../auditlog/queries";
import { useCustomers } from "../customers/queries";

// What concerns no customer, such as signing in.
const PLATFORM = "platform";

export function PlatformAuditLog() {
  const filters = useFilters();
  const query = useWholeLog(filters.customer, filters.asked);
  const { data } = useCustomers("");
  const names = new Map((data?.pages.flatMap(({ items }) => items) ?? []).map(({ id, name }) => [id, name]));
  const chosen = filters.customer;
  const others = chosen !== null && chosen !== PLATFORM && !names.has(chosen) ? [{ value: chosen, label: chosen }] : [];
  return (
    <>
      <Text size="sm" c="dimmed" mb="md">Everything that was asked, done or refused, for all customers. <span className="mono">zlh-api audit-log verify</span> proves that no entry was changed since.</Text>
      <AuditLog query={query} filters={filters} people={[]} customers={names} isMixed>
        <Select
          aria-label="Customer" placeholder="All customers" clearable searchable flex="1 1 180px" value={chosen} onChange={(value) => filters.set("customer", value)}
          data={[{ value: PLATFORM, label: "No customer (the platform)" }, ...[...names].map(([value, label]) => ({ value, label })), ...others]}
        />
      </AuditLog>
    </>
  );
}

/** What was done for anybody. */
import { Select, Text } from "@mantine/core";
import { AuditLog } from "../auditlog/AuditLog";
import { useFilters } from "../auditlog/filters";
import { useWholeLog } from "../auditlog/queries";
import { labelCustomers } from "../customers/labels";
import { OFFERED, useCustomerNames } from "../customers/useCustomerNames";

// What concerns no customer, such as signing in.
const PLATFORM = "platform";

export function PlatformAuditLog() {
  const filters = useFilters();
  const query = useWholeLog(filters.customer, filters.asked);
  const names = useCustomerNames();
  const chosen = filters.customer;
  const others = chosen !== null && chosen !== PLATFORM && !names.has(chosen) ? [{ value: chosen, label: chosen }] : [];
  return (
    <>
      <Text size="sm" c="dimmed" mb="md">Everything that was asked, done or refused, for all customers. <span className="mono">zlh-api audit-log verify</span> proves that no entry was changed since.</Text>
      <AuditLog query={query} filters={filters} people={[]} customers={names} isMixed>
        <Select
          aria-label="Customer" placeholder="All customers" clearable searchable limit={OFFERED} nothingFoundMessage="No such customer" flex="1 1 180px" value={chosen} onChange={(value) => filters.set("customer", value)}
          data={[{ value: PLATFORM, label: "No customer (the platform)" }, ...labelCustomers([...names].map(([id, name]) => ({ id, name }))), ...others]}
        />
      </AuditLog>
    </>
  );
}

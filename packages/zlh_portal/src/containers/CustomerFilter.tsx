/** Whose containers the list shows, where there are several customers. */
import { Select } from "@mantine/core";
import { labelCustomers } from "../customers/labels";
import { OFFERED } from "../customers/useCustomerNames";

interface Props {
  customers: ReadonlyMap<string, string>;
  value: string | null;
  onChange: (customer: string | null) => void;
}

export function CustomerFilter({ customers, value, onChange }: Props) {
  return (
    <Select
      aria-label="Filter by customer" placeholder="All customers" clearable searchable limit={OFFERED} nothingFoundMessage="No such customer" flex="1 1 150px" maw={{ base: "none", sm: 210 }} value={value} onChange={onChange}
      data={labelCustomers([...customers].map(([id, name]) => ({ id, name })))}
    />
  );
}

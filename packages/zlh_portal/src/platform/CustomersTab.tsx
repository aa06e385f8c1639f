/** All customers: found by name, with what they use. */
import { Badge, Button, Group, Paper, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { type SyntheticEvent, useId, useState } from "react";
import { Link, useNavigate } from "react-router";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Customer } from "../api/types";
import { QuotaBars } from "../customers/QuotaBars";
import { useCreateCustomer, useCustomers, useUsage } from "../customers/queries";
import { PlusIcon } from "../layout/icons";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { TimeAgo } from "../layout/TimeAgo";
import { tellDone } from "../layout/tell";
import { isolate } from "../layout/words";
import { useWhyNot } from "../session/session";
import { SearchField, useSearch } from "./SearchField";
import { Modal } from "../layout/Modal";
import { Said } from "../layout/Said";

export function CustomersTab() {
  const q = useSearch();
  const query = useCustomers(q);
  const mayManage = useWhyNot("platform:manage") === null;
  const [isMaking, { open, close }] = useDisclosure(false);
  const customers = query.data?.pages.flatMap(({ items }) => items) ?? [];
  return (
    <Stack gap="md">
      <Group gap="sm">
        <SearchField label="Search customers" />
        {mayManage && <Button leftSection={<PlusIcon />} onClick={open}>Create customer</Button>}
      </Group>
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title="The customers cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the customers">{[0, 1, 2].map((row) => <Skeleton key={row} h={60} />)}</Stack>}
      {query.data && customers.length === 0 && (
        <Paper ta="center" py="xl" role="status"><Text c="dimmed" size="sm">{q ? <>No customer is called anything like “<Name text={q} />”.</> : "No customers yet. Create one, and invite its first owner."}</Text></Paper>
      )}
      {customers.length > 0 && <Paper p={0}><ul className={rows["list"]} aria-label="Customers">{customers.map((customer) => <CustomerRow key={customer.id} customer={customer} />)}</ul></Paper>}
      <LoadMore query={query} label="Load more customers" />
      {isMaking && <CreateModal onClose={close} />}
    </Stack>
  );
}

function CustomerRow({ customer }: { customer: Customer }) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const usage = useId();
  return (
    <li className={rows["row"]} data-testid="customer">
      <div className={rows["grow"]}>
        <Group gap={6}>
          <Link to={`/customers/${customer.id}`} className={rows["name"] ?? ""}><Name text={customer.name} /></Link>
          {customer.suspended && <Badge color="orange" variant="light">Suspended</Badge>}
        </Group>
        <Text size="xs" c="dimmed" component="div">
          Since <TimeAgo time={customer.createdAt} />{customer.suspendedReason !== null && <> · suspended: <Said text={customer.suspendedReason} /></>}
        </Text>
      </div>
      <Button size="xs" variant="default" aria-expanded={isOpen} aria-controls={usage} aria-label={`Use of ${customer.name}`} onClick={toggle}>{isOpen ? "Hide its use" : "Use"}</Button>
      <div id={usage} hidden={!isOpen} style={{ flexBasis: "100%" }}>{isOpen && <Usage customer={customer} />}</div>
    </li>
  );
}

function Usage({ customer }: { customer: Customer }) {
  const query = useUsage(customer.id);
  if (query.data) return <div style={{ maxWidth: 560, paddingBlock: 6 }}><QuotaBars uses={query.data} /></div>;
  if (query.error) return <Problem error={query.error} title="Its use cannot be read" onRetry={() => void query.refetch()} />;
  return <Skeleton h={200} maw={560} role="status" aria-label="Loading its use" />;
}

function CreateModal({ onClose }: { onClose: () => void }) {
  const create = useCreateCustomer();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const refused = create.error ? splitByField(asApiError(create.error), ["name"]) : null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (name.trim() === "" || create.isPending) return;
    create.mutate(name.trim(), {
      onSuccess: (made) => {
        tellDone(`${isolate(made.name)} is created. Invite its first owner.`);
        void navigate(`/customers/${made.id}`);
      },
    });
  };
  return (
    <Modal opened onClose={onClose} title="Create a customer" centered>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Name" data-autofocus autoComplete="off" maxLength={64} value={name} error={refused ? (refused.fields["name"] ?? refused.rest) : undefined}
            onChange={(event) => {
              forgetOutcome(create);
              setName(event.currentTarget.value);
            }}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" disabled={name.trim() === ""} loading={create.isPending}>Create</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

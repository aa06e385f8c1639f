/** Containers of everybody, in a table that can be filtered and put in order; what is chosen is kept in the address. */
import { Button, Group, Paper, Skeleton, Stack, Table, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { ContainerStatus } from "../api/types";
import { CustomerFilter } from "../containers/CustomerFilter";
import { filterContainers, ofCustomer, readGroup } from "../containers/filter";
import { GroupFilter } from "../containers/GroupFilter";
import { useContainers } from "../containers/queries";
import { ConnectionBadge, StateBadge } from "../containers/StateBadge";
import { useCustomerNames } from "../customers/useCustomerNames";
import { SearchIcon } from "../layout/icons";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { ConnectionBanner } from "../live/ConnectionBanner";
import { type Column, COLUMNS, type Order, readOrder, sortContainers, turn, writeOrder } from "./order";
import classes from "./platform.module.css";

// Of thousands only so many are drawn until more are asked for.
const PORTION = 100;

export function ContainersTab() {
  const query = useContainers();
  const names = useCustomerNames();
  const [parameters, setParameters] = useSearchParams();
  const [portions, setPortions] = useState(1);
  const choose = (name: string, value: string | null) => {
    setPortions(1);
    setParameters((before) => {
      const next = new URLSearchParams(before);
      if (value) next.set(name, value);
      else next.delete(name);
      return next;
    }, { replace: true });
  };
  if (query.isPending) return <Stack gap="xs" role="status" aria-label="Loading the containers"><Skeleton h={36} /><Skeleton h={240} /></Stack>;
  const customer = parameters.get("customer");
  const search = parameters.get("q") ?? "";
  const group = readGroup(parameters.get("state"));
  const order = readOrder(parameters.get("sort"));
  const ofOne = ofCustomer(query.data ?? [], customer);
  const found = sortContainers(filterContainers(ofOne, group, search), order, names);
  return (
    <Stack gap="md">
      {query.error && <Problem error={query.error} title={query.data ? "What is shown may be old" : "The containers cannot be listed"} onRetry={() => void query.refetch()} />}
      {query.data && (
        <>
          <Group gap="sm">
            <TextInput
              aria-label="Filter by text" placeholder="Name, number, runtime, address…" type="search" leftSection={<SearchIcon />} flex="1 1 220px"
              value={search} onChange={(event) => choose("q", event.currentTarget.value)}
            />
            <CustomerFilter customers={names} value={customer} onChange={(next) => choose("customer", next)} />
            <GroupFilter items={ofOne} value={group} onChange={(next) => choose("state", next === "all" ? null : next)} />
          </Group>
          <Text size="sm" c="dimmed" role="status" className="numbers" data-testid="counted">{found.length} of {query.data.length} containers</Text>
          {found.length > 0 && <ContainerTable items={found.slice(0, portions * PORTION)} names={names} order={order} onOrder={(column) => choose("sort", writeOrder(turn(order, column)))} />}
          {found.length > portions * PORTION && <Button variant="default" onClick={() => setPortions(portions + 1)}>Show {Math.min(PORTION, found.length - portions * PORTION)} more</Button>}
        </>
      )}
      <ConnectionBanner query={query} />
    </Stack>
  );
}

interface TableProps {
  items: readonly ContainerStatus[];
  names: ReadonlyMap<string, string>;
  order: Order;
  onOrder: (column: Column) => void;
}

function ContainerTable({ items, names, order, onOrder }: TableProps) {
  return (
    <Paper p={0} className={classes["wide"] ?? ""} tabIndex={0} role="region" aria-label="Containers of everybody">
      <Table verticalSpacing={8} horizontalSpacing="md">
        <Table.Thead>
          <Table.Tr>{(Object.keys(COLUMNS) as Column[]).map((column) => <Head key={column} column={column} order={order} onOrder={onOrder} />)}</Table.Tr>
        </Table.Thead>
        <Table.Tbody>{items.map((status) => <Row key={status.vmid} status={status} customer={names.get(status.customerId) ?? null} />)}</Table.Tbody>
      </Table>
    </Paper>
  );
}

function Head({ column, order, onOrder }: Omit<TableProps, "items" | "names"> & { column: Column }) {
  const isOrdered = order.column === column;
  return (
    <Table.Th aria-sort={isOrdered ? (order.direction === "asc" ? "ascending" : "descending") : undefined}>
      <UnstyledButton fz="xs" fw={600} c={isOrdered ? "inherit" : "dimmed"} onClick={() => onOrder(column)}>
        {COLUMNS[column]}<span aria-hidden="true">{isOrdered ? (order.direction === "asc" ? " ↑" : " ↓") : ""}</span>
      </UnstyledButton>
    </Table.Th>
  );
}

function Row({ status, customer }: { status: ContainerStatus; customer: string | null }) {
  return (
    <Table.Tr data-testid={`platform-container-${status.vmid}`}>
      <Table.Td className="numbers">{status.vmid}</Table.Td>
      <Table.Td><Link to={`/containers/${status.vmid}`} className={classes["link"] ?? ""}><Name text={status.name} /></Link></Table.Td>
      <Table.Td><Link to={`/customers/${status.customerId}`} className={classes["plain"] ?? ""}>{customer === null ? status.customerId.slice(0, 8) : <Name text={customer} />}</Link></Table.Td>
      <Table.Td>{status.kind}</Table.Td>
      <Table.Td><StateBadge status={status} /></Table.Td>
      <Table.Td><ConnectionBadge status={status} /></Table.Td>
      <Table.Td><Text size="xs" c="dimmed" component="div"><TimeAgo time={status.createdAt} /></Text></Table.Td>
    </Table.Tr>
  );
}

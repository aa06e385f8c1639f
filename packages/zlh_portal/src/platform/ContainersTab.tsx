/** Containers of everybody, in a table that can be filtered and put in order; what is chosen is kept in the address. */
import { Button, Group, Paper, Skeleton, Stack, Table, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Link } from "react-router";
import type { ContainerStatus } from "../api/types";
import { CustomerFilter } from "../containers/CustomerFilter";
import { filterContainers, ofCustomer, readGroup } from "../containers/filter";
import { GroupFilter } from "../containers/GroupFilter";
import { useContainers, useIsPartial } from "../containers/queries";
import { ConnectionBadge, StateBadge } from "../containers/StateBadge";
import { useCustomerNames } from "../customers/useCustomerNames";
import { useParameters } from "../layout/address";
import { useFilterText } from "../layout/useFilterText";
import { SearchIcon } from "../layout/icons";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { type Column, COLUMNS, type Order, readOrder, sortContainers, turn, writeOrder } from "./order";
import classes from "./platform.module.css";

/** So many are all in the page, where the browser's own search finds them; of more, those that are in sight. */
const ALL_SHOWN = 100;
const ROW_PX = 45;
const BESIDE = 20;
const COLUMN_COUNT = Object.keys(COLUMNS).length;

export function ContainersTab() {
  const query = useContainers();
  const names = useCustomerNames();
  const { parameters, set, clear } = useParameters();
  const isPartial = useIsPartial();
  const [text, setText] = useFilterText({ parameters, set });
  // Thousands of rows are looked for while one types on.
  const words = useDeferredValue(text);
  const customer = parameters.get("customer");
  const group = readGroup(parameters.get("state"));
  const sort = parameters.get("sort");
  const order = useMemo(() => readOrder(sort), [sort]);
  const ofOne = useMemo(() => ofCustomer(query.data ?? [], customer), [query.data, customer]);
  const found = useMemo(() => sortContainers(filterContainers(ofOne, group, words), order, names), [ofOne, group, words, order, names]);
  if (query.isPending) return <Stack gap="xs" role="status" aria-label="Loading the containers"><Skeleton h={36} /><Skeleton h={240} /></Stack>;
  return (
    <Stack gap="md">
      {query.error && <Problem error={query.error} title={query.data ? isPartial ? "The rest of the containers cannot be listed" : "What is shown may be old" : "The containers cannot be listed"} onRetry={() => void query.refetch()} />}
      {query.data && (
        <>
          <Group gap="sm">
            <TextInput
              aria-label="Filter by text" placeholder="Name, number, runtime, address…" type="search" leftSection={<SearchIcon />} flex="1 1 220px"
              value={text} onChange={(event) => setText(event.currentTarget.value)}
            />
            <CustomerFilter customers={names} value={customer} onChange={(next) => set("customer", next)} />
            <GroupFilter items={ofOne} value={group} onChange={(next) => set("state", next === "all" ? null : next)} />
          </Group>
          <Text size="sm" c="dimmed" role="status" className="numbers" data-testid="counted">{sayCount(found.length, query.data.length, isPartial)}</Text>
          {found.length > 0 && <ContainerTable items={found} names={names} order={order} onOrder={(column) => set("sort", writeOrder(turn(order, column)))} />}
          {found.length === 0 && <Nothing hasAny={query.data.length > 0} onShowAll={() => { setText(""); clear(); }} />}
        </>
      )}
    </Stack>
  );
}

interface TableProps {
  items: readonly ContainerStatus[];
  names: ReadonlyMap<string, string>;
  order: Order;
  onOrder: (column: Column) => void;
}

function sayCount(found: number, all: number, isPartial: boolean): string {
  const counted = found === all ? `${all} ${all === 1 ? "container" : "containers"}` : `${found} of ${all} containers`;
  return isPartial ? `${counted} so far, more are on their way` : counted;
}

function Nothing({ hasAny, onShowAll }: { hasAny: boolean; onShowAll: () => void }) {
  return (
    <Paper ta="center" py="xl" role="status">
      <Text size="sm" c="dimmed">{hasAny ? "No container is like that." : "Nobody has a container yet."}</Text>
      {hasAny && <Button variant="subtle" mt="xs" onClick={onShowAll}>Show everything</Button>}
    </Paper>
  );
}

function ContainerTable({ items, names, order, onOrder }: TableProps) {
  const body = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(body.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({ count: items.length, estimateSize: () => ROW_PX, overscan: BESIDE, scrollMargin: top, getItemKey: (at) => items[at]?.vmid ?? at });
  const drawn = rows.getVirtualItems();
  const isWhole = items.length <= ALL_SHOWN;
  const shown = isWhole ? items.map((status, index) => ({ status, index })) : drawn.flatMap(({ index }) => (items[index] ? [{ status: items[index], index }] : []));
  const above = isWhole ? 0 : (drawn[0]?.start ?? top) - top;
  const below = isWhole ? 0 : rows.getTotalSize() - ((drawn.at(-1)?.end ?? top) - top);
  return (
    <Paper p={0} className={classes["wide"] ?? ""} tabIndex={0} role="region" aria-label="Containers of everybody" ref={body}>
      <Table verticalSpacing={8} horizontalSpacing="md" aria-rowcount={items.length + 1} className={classes["containers"] ?? ""}>
        <Table.Thead>
          <Table.Tr aria-rowindex={1}>{(Object.keys(COLUMNS) as Column[]).map((column) => <Head key={column} column={column} order={order} onOrder={onOrder} />)}</Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {above > 0 && <tr aria-hidden="true"><td colSpan={COLUMN_COUNT} style={{ height: above, padding: 0 }} /></tr>}
          {shown.map(({ status, index }) => <Row key={status.vmid} status={status} index={index} measure={isWhole ? undefined : rows.measureElement} customer={names.get(status.customerId) ?? null} />)}
          {below > 0 && <tr aria-hidden="true"><td colSpan={COLUMN_COUNT} style={{ height: below, padding: 0 }} /></tr>}
        </Table.Tbody>
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

interface RowProps {
  status: ContainerStatus;
  index: number;
  measure: ((row: Element | null) => void) | undefined;
  customer: string | null;
}

function Row({ status, index, measure, customer }: RowProps) {
  return (
    <Table.Tr ref={measure} data-index={index} aria-rowindex={index + 2} data-testid={`platform-container-${status.vmid}`}>
      <Table.Td className="numbers">{status.vmid}</Table.Td>
      <Table.Td><Link to={`/containers/${status.vmid}`} className={classes["link"] ?? ""}><Name text={status.name} /></Link>{customer !== null && <Text size="xs" c="dimmed" hiddenFrom="sm"><Name text={customer} /></Text>}</Table.Td>
      <Table.Td><Link to={`/customers/${status.customerId}`} className={classes["plain"] ?? ""}>{customer === null ? status.customerId.slice(0, 8) : <Name text={customer} />}</Link></Table.Td>
      <Table.Td>{status.kind}</Table.Td>
      <Table.Td><StateBadge status={status} /></Table.Td>
      <Table.Td><ConnectionBadge status={status} /></Table.Td>
      <Table.Td><Text size="xs" c="dimmed" component="div"><TimeAgo time={status.createdAt} /></Text></Table.Td>
    </Table.Tr>
  );
}

import { Button, Group, Paper, Skeleton, Stack, Text, TextInput, Title } from "@mantine/core";
import { Suspense, useDeferredValue, useMemo } from "react";
import { Link } from "react-router";
import { SuspendedBanner } from "../customers/SuspendedBanner";
import { useCustomerNames } from "../customers/useCustomerNames";
import { ActionButton } from "../layout/ActionButton";
import { useParameters } from "../layout/address";
import { PlusIcon, SearchIcon } from "../layout/icons";
import { lazily } from "../layout/lazily";
import { LiveRegion } from "../layout/LiveRegion";
import { Problem } from "../layout/Problem";
import { usePageTitle } from "../layout/title";
import { useFilterText } from "../layout/useFilterText";
import { useMe } from "../session/session";
import { ContainerRows } from "./ContainerRows";
import { EmptyList } from "./EmptyList";
import { filterContainers, ofCustomer, readGroup } from "./filter";
import { useContainers, useIsPartial } from "./queries";
import { whyNoCreation } from "./whyNoCreation";

// What a drop-down takes is much, and the list is there before it.
const CustomerFilter = lazily("CustomerFilter", () => import("./CustomerFilter"));
const GroupFilter = lazily("GroupFilter", () => import("./GroupFilter"));

export function ListPage() {
  usePageTitle("Containers");
  const query = useContainers();
  const { data: me } = useMe();
  const names = useCustomerNames();
  const { parameters, set, clear } = useParameters();
  const [search, setSearch] = useFilterText({ parameters, set });
  const group = readGroup(parameters.get("state"));
  const customer = parameters.get("customer");
  const showAll = () => {
    setSearch("");
    clear();
  };

  const whyNot = whyNoCreation(me);
  const suspended = me?.customers.filter((entry) => entry.suspended && (customer === null || entry.id === customer)) ?? [];
  const isPartial = useIsPartial();
  // Of thousands a filter takes longer than a key may.
  const words = useDeferredValue(search);
  const items = useMemo(() => query.data && ofCustomer(query.data, customer), [query.data, customer]);
  const shown = useMemo(() => (items ? filterContainers(items, group, words) : []), [items, group, words]);
  const hasAny = items !== undefined && query.data !== undefined && query.data.length > 0;
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Title order={1}>Containers</Title>
        {query.data?.length !== 0 && <CreateButton reason={whyNot} customer={customer} />}
      </Group>
      {suspended.map(({ id }) => <SuspendedBanner key={id} customerId={id} />)}
      {query.error && (!items || isPartial) && <Problem error={query.error} title={items ? "The rest of the containers cannot be listed" : "The containers cannot be listed"} onRetry={() => void query.refetch()} />}
      {query.data?.length === 0 && <EmptyList reason={whyNot} />}
      {hasAny && (
        <Group gap="sm">
          <TextInput
            aria-label="Filter by text" placeholder="Name, runtime, address…" type="search" leftSection={<SearchIcon />} flex="1 1 220px"
            value={search} onChange={(event) => setSearch(event.currentTarget.value)}
          />
          {names.size > 1 && <Suspense fallback={<FilterSkeleton />}><CustomerFilter customers={names} value={customer} onChange={(next) => set("customer", next)} /></Suspense>}
          <Suspense fallback={<FilterSkeleton />}><GroupFilter items={items} value={group} onChange={(next) => set("state", next === "all" ? null : next)} /></Suspense>
        </Group>
      )}
      <LiveRegion>{hasAny && isPartial && <Text size="sm" c="dimmed" data-testid="partial">The first {query.data.length} are here; the rest is on its way…</Text>}</LiveRegion>
      {hasAny && shown.length === 0 && (
        <Paper ta="center" py="xl">
          <Text c="dimmed">{items.length === 0 ? "This customer has no containers." : `None of your ${items.length} containers matches.`}</Text>
          <Button variant="subtle" mt="xs" onClick={showAll}>Show all</Button>
        </Paper>
      )}
      {hasAny && shown.length > 0 && <ContainerRows items={shown} names={names.size > 1 ? names : null} />}
      {query.isPending && <ListSkeleton />}
    </Stack>
  );
}

function CreateButton({ reason, customer }: { reason: string | null; customer: string | null }) {
  if (reason !== null) return <ActionButton leftSection={<PlusIcon />} reason={reason} onClick={() => undefined}>Create container</ActionButton>;
  return <Button component={Link} to={customer ? `/containers/new?customer=${encodeURIComponent(customer)}` : "/containers/new"} leftSection={<PlusIcon />}>Create container</Button>;
}

function ListSkeleton() {
  return (
    <Stack gap="md" aria-label="Loading the containers" role="status">
      <Skeleton h={36} />
      <Paper><Stack gap="lg">{[0, 1, 2].map((row) => <Skeleton key={row} h={38} />)}</Stack></Paper>
    </Stack>
  );
}

function FilterSkeleton() {
  return <Skeleton flex="1 1 150px" maw={210} h={36} role="status" aria-label="Loading the filter" />;
}

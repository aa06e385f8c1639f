import { Button, Group, Paper, Skeleton, Stack, Text, TextInput, Title } from "@mantine/core";
import { Link, useSearchParams } from "react-router";
import { PlusIcon, SearchIcon } from "../layout/icons";
import { Problem } from "../layout/Problem";
import { usePageTitle } from "../layout/title";
import { ConnectionBanner } from "../live/ConnectionBanner";
import { ContainerRow } from "./ContainerRow";
import classes from "./containers.module.css";
import { EmptyList } from "./EmptyList";
import { filterContainers, type Group as Filter } from "./filter";
import { GroupFilter, readGroup } from "./GroupFilter";
import { useContainers } from "./queries";

export function ListPage() {
  usePageTitle("Containers");
  const query = useContainers();
  const [parameters, setParameters] = useSearchParams();
  const search = parameters.get("q") ?? "";
  const group = readGroup(parameters.get("state"));
  // In the address, so that a filtered list can be kept as a bookmark and is there again on the way back.
  const filter = (nextGroup: Filter, nextSearch: string) =>
    setParameters({ ...(nextGroup === "all" ? {} : { state: nextGroup }), ...(nextSearch ? { q: nextSearch } : {}) }, { replace: true });

  const items = query.data;
  const shown = items ? filterContainers(items, group, search) : [];
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Title order={1}>Containers</Title>
        {items?.length !== 0 && (
          <Button component={Link} to="/containers/new" leftSection={<PlusIcon />}>Create container</Button>
        )}
      </Group>
      {query.error && !items && <Problem error={query.error} title="The containers cannot be listed" onRetry={() => void query.refetch()} />}
      {items?.length === 0 && <EmptyList />}
      {items && items.length > 0 && (
        <>
          <Group gap="sm">
            <TextInput
              aria-label="Filter by text" placeholder="Name, runtime, address…" type="search" leftSection={<SearchIcon />} flex="1 1 220px"
              value={search} onChange={(event) => filter(group, event.currentTarget.value)}
            />
            <GroupFilter items={items} value={group} onChange={(next) => filter(next, search)} />
          </Group>
          {shown.length === 0 ? (
            <Paper ta="center" py="xl">
              <Text c="dimmed">None of your {items.length} containers matches.</Text>
              <Button variant="subtle" mt="xs" onClick={() => filter("all", "")}>Show all</Button>
            </Paper>
          ) : (
            <Paper p={0}>
              <div className={`${classes["row"] ?? ""} ${classes["head"] ?? ""}`} aria-hidden="true">
                <span>Name</span><span>State</span><span>Runtimes</span><span>Address</span><span>Created</span>
              </div>
              <ul className={classes["list"]} aria-label="Containers">{shown.map((status) => <ContainerRow key={status.vmid} status={status} />)}</ul>
            </Paper>
          )}
        </>
      )}
      {query.isPending && <ListSkeleton />}
      <ConnectionBanner query={query} />
    </Stack>
  );
}

function ListSkeleton() {
  return (
    <Stack gap="md" aria-label="Loading the containers" role="status">
      <Skeleton h={36} />
      <Paper><Stack gap="lg">{[0, 1, 2].map((row) => <Skeleton key={row} h={38} />)}</Stack></Paper>
    </Stack>
  );
}

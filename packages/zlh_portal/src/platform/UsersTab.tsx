/** All users: found by address, with where they belong and what operators can do for them. */
import { Anchor, Badge, Group, Paper, Skeleton, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import type { UserReport } from "../api/types";
import { ROLE_WORDS } from "../customers/roles";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { TimeAgo } from "../layout/TimeAgo";
import { useMe, useWhyNot } from "../session/session";
import { SearchField, useSearch } from "./SearchField";
import { UserActions } from "./UserActions";
import { useUsers } from "./userQueries";
import { Said } from "../layout/Said";

export function UsersTab() {
  const q = useSearch();
  const query = useUsers(q);
  const users = query.data?.pages.flatMap(({ items }) => items) ?? [];
  return (
    <Stack gap="md">
      <Group gap="sm"><SearchField label="Search users" /></Group>
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title="The users cannot be listed" onRetry={() => void query.refetch()} />}
      {query.isPending && <Stack gap="xs" role="status" aria-label="Loading the users">{[0, 1, 2].map((row) => <Skeleton key={row} h={60} />)}</Stack>}
      {query.data && users.length === 0 && (
        <Paper ta="center" py="xl" role="status"><Text c="dimmed" size="sm">{q ? <>No user has an address like “<Name text={q} />”.</> : "No users yet. People come by invitations of customers."}</Text></Paper>
      )}
      {users.length > 0 && <Paper p={0}><ul className={rows["list"]} aria-label="Users">{users.map((user) => <UserRow key={user.id} user={user} />)}</ul></Paper>}
      <LoadMore query={query} label="Load more users" />
    </Stack>
  );
}

function UserRow({ user }: { user: UserReport }) {
  const { data: me } = useMe();
  const mayManage = useWhyNot("platform:manage") === null;
  const isMe = me?.user.id === user.id;
  return (
    <li className={rows["row"]} data-testid="user">
      <div className={rows["grow"]}>
        <Group gap={6}>
          <Text size="sm" fw={600}><Name text={user.email} /></Text>
          {isMe && <Badge variant="light">You</Badge>}
          {user.isOperator && <Badge variant="light" color="grape">Operator</Badge>}
          {user.suspended && <Badge variant="light" color="orange">Suspended</Badge>}
        </Group>
        <Text size="xs" c="dimmed" component="div">
          {user.customers.length === 0 ? "Belongs to no customer" : user.customers.map(({ id, name, role }, index) => (
            <span key={id}>{index > 0 && ", "}<Anchor component={Link} to={`/customers/${id}`} inherit underline="always"><Name text={name} /></Anchor> as {ROLE_WORDS[role].label.toLowerCase()}</span>
          ))}
          {" · since "}<TimeAgo time={user.createdAt} />
          {user.suspendedReason !== null && <> · suspended: <Said text={user.suspendedReason} /></>}
        </Text>
      </div>
      {mayManage && <UserActions user={user} isMe={isMe} />}
    </li>
  );
}

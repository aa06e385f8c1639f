/** The customers that somebody belongs to. */
import { Badge, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import { Name } from "../layout/Name";
import rows from "../layout/rows.module.css";
import { usePageTitle } from "../layout/title";
import { useMe } from "../session/session";
import { ROLE_WORDS } from "./roles";

export function CustomersPage() {
  usePageTitle("Customers");
  const { data: me } = useMe();
  if (!me) return null;
  return (
    <Stack gap="md" maw={720}>
      <div>
        <Title order={1}>Customers</Title>
        <Text size="sm" c="dimmed">A customer owns containers; whoever belongs to it works with them as far as their role goes.</Text>
      </div>
      {me.customers.length === 0 ? (
        <Paper data-testid="no-customers">
          <Text size="sm">You belong to no customer yet. Ask an owner of one to invite <Name text={me.user.email} />; you then get a link.</Text>
        </Paper>
      ) : (
        <Paper p={0}>
          <ul className={rows["list"]} aria-label="Your customers">
            {me.customers.map(({ id, name, role, suspended }) => (
              <li key={id} className={`${rows["row"] ?? ""} ${rows["linked"] ?? ""}`} data-testid="customer">
                <div className={rows["grow"]}>
                  <Link to={`/customers/${id}`} className={rows["name"] ?? ""}><Name text={name} /></Link>
                  <Text size="xs" c="dimmed">{ROLE_WORDS[role].meaning}</Text>
                </div>
                <Group gap={6}>
                  {suspended && <Badge color="orange" variant="light">Suspended</Badge>}
                  <Badge color="gray" variant="light">{ROLE_WORDS[role].label}</Badge>
                </Group>
              </li>
            ))}
          </ul>
        </Paper>
      )}
    </Stack>
  );
}

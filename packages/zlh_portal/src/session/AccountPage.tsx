import { Anchor, Badge, Button, Group, Paper, Stack, Table, Text, Title } from "@mantine/core";
import { Problem } from "../layout/Problem";
import { usePageTitle } from "../layout/title";
import { useMe, useSignOut } from "./session";

const ROLES: Readonly<Record<string, string>> = {
  owner: "May do everything",
  member: "May create, change and delete containers",
  viewer: "May look",
};

export function AccountPage() {
  usePageTitle("Account");
  const { data: me } = useMe();
  const signOut = useSignOut();
  if (!me) return null;
  return (
    <Stack maw={640}>
      <Title order={1}>Account</Title>
      {signOut.error && <Problem error={signOut.error} title="You are still signed in" />}
      <Paper>
        <Group justify="space-between">
          <div>
            <Text size="xs" c="dimmed">Signed in as</Text>
            <Group gap="xs"><Text fw={600} data-testid="me-email">{me.user.email}</Text>{me.user.isOperator && <Badge variant="light">Operator</Badge>}</Group>
          </div>
          <Button variant="default" loading={signOut.isPending} onClick={() => signOut.mutate()}>Sign out</Button>
        </Group>
      </Paper>
      <Paper>
        <Title order={2} mb="xs">Customers</Title>
        {me.customers.length === 0 ? (
          <Text size="sm" c="dimmed">You belong to no customer yet, so you cannot create containers. Ask an owner to add you.</Text>
        ) : (
          <Table>
            <Table.Thead><Table.Tr><Table.Th>Name</Table.Th><Table.Th>Your role</Table.Th></Table.Tr></Table.Thead>
            <Table.Tbody>
              {me.customers.map((customer) => (
                <Table.Tr key={customer.id}>
                  <Table.Td>{customer.name}</Table.Td>
                  <Table.Td>{customer.role}<Text span c="dimmed" size="sm">{ROLES[customer.role] ? ` · ${ROLES[customer.role] ?? ""}` : ""}</Text></Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Paper>
      <Text size="sm" c="dimmed">Programs use the same API with a bearer token; the <Anchor href="/api/docs" target="_blank" rel="noreferrer" inherit>API reference</Anchor> lists every call.</Text>
    </Stack>
  );
}

/** Who one is: password, sessions and tokens. */
import { Badge, Button, Group, Stack, Tabs, Text, Title } from "@mantine/core";
import { useNavigate, useParams } from "react-router";
import type { Me } from "../api/types";
import classes from "../containers/containers.module.css";
import { Name } from "../layout/Name";
import { NotFoundPage } from "../layout/NotFoundPage";
import { Problem } from "../layout/Problem";
import { usePageTitle } from "../layout/title";
import { useMe, useSignOut } from "../session/session";
import { ProfileTab } from "./ProfileTab";
import { SessionsTab } from "./SessionsTab";
import { TokensTab } from "./TokensTab";

const TABS = {
  profile: { label: "Profile", show: (me: Me) => <ProfileTab me={me} /> },
  sessions: { label: "Sessions", show: () => <SessionsTab /> },
  tokens: { label: "API tokens", show: (me: Me) => <TokensTab me={me} /> },
} as const;

type Tab = keyof typeof TABS;

export function AccountPage() {
  usePageTitle("Account");
  const { tab = "profile" } = useParams();
  const { data: me } = useMe();
  const signOut = useSignOut();
  const navigate = useNavigate();
  if (!(tab in TABS)) return <NotFoundPage />;
  if (!me) return null;
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={1}>Account</Title>
          <Group gap="xs" mt={2}>
            <Text size="sm" c="dimmed" data-testid="me-email"><Name text={me.user.email} /></Text>
            {me.user.isOperator && <Badge variant="light">Operator</Badge>}
          </Group>
        </div>
        <Button variant="default" loading={signOut.isPending} onClick={() => signOut.mutate()}>Sign out</Button>
      </Group>
      {signOut.error && <Problem error={signOut.error} title="You are still signed in" />}
      <Tabs value={tab} keepMounted={false} onChange={(next) => void navigate(`/account/${next ?? "profile"}`, { replace: true })}>
        <Tabs.List className={classes["tabs"] ?? ""} aria-label="About your account">
          {Object.entries(TABS).map(([key, { label }]) => <Tabs.Tab key={key} value={key}>{label}</Tabs.Tab>)}
        </Tabs.List>
        <Tabs.Panel value={tab} pt="md">{TABS[tab as Tab].show(me)}</Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

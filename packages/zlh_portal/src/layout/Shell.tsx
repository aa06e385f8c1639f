/** The frame of every page behind the sign-in. */
import { ActionIcon, AppShell, Button, Container, Group, Menu, Text, UnstyledButton } from "@mantine/core";
import { Link, NavLink, Outlet, useNavigate } from "react-router";
import { LiveBadge } from "../live/LiveBadge";
import { useMe, useSignOut } from "../session/session";
import { ColorSchemeButton } from "./ColorSchemeButton";
import { Mark, PersonIcon } from "./icons";
import classes from "./Shell.module.css";

export function Shell() {
  const { data: me } = useMe();
  return (
    <AppShell header={{ height: 56 }} padding={0}>
      <a href="#main" className={classes["skip"]}>Skip to the content</a>
      <AppShell.Header>
        <Container size="lg" h="100%">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="lg" wrap="nowrap">
              <UnstyledButton component={Link} to="/" aria-label="ZLH, to the containers">
                <Group gap={8} wrap="nowrap"><Mark /><Text fw={700} visibleFrom="xs">ZLH</Text></Group>
              </UnstyledButton>
              <nav aria-label="Main">
                <NavLink to="/" end className={classes["nav"] ?? ""}>Containers</NavLink>
                <NavLink to="/catalog" className={classes["nav"] ?? ""}>Catalog</NavLink>
                {me?.user.isOperator && <NavLink to="/platform" className={classes["nav"] ?? ""}>Platform</NavLink>}
              </nav>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <LiveBadge />
              <ColorSchemeButton />
              <AccountMenu />
            </Group>
          </Group>
        </Container>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1} className={classes["main"] ?? ""}>
        <Container size="lg" py="lg"><Outlet /></Container>
      </AppShell.Main>
    </AppShell>
  );
}

function AccountMenu() {
  const { data: me } = useMe();
  const signOut = useSignOut();
  const navigate = useNavigate();
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label="Account menu"><PersonIcon /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{me?.user.email}</Menu.Label>
        <Menu.Item onClick={() => void navigate("/account")}>Account</Menu.Item>
        <Menu.Item component="a" href="/api/docs" target="_blank" rel="noreferrer">API reference</Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" disabled={signOut.isPending} onClick={() => signOut.mutate()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The way back, above the title of a page that is one level down. */
export function BackToList() {
  return (
    <Button component={Link} to="/" variant="subtle" color="gray" c="dimmed" fw={500} size="compact-sm" ml={-8} aria-label="Back to the containers">
      ← Containers
    </Button>
  );
}

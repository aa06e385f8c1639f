/** The frame of every page behind the sign-in. */
import { ActionIcon, AppShell, Container, Group, Menu, Skeleton, Text, UnstyledButton } from "@mantine/core";
import { Suspense } from "react";
import { Link, NavLink, Outlet, useMatch, useNavigate } from "react-router";
import { LiveBadge } from "../live/LiveBadge";
import { useMe, useSignOut, useWhyNot } from "../session/session";
import { ColorSchemeButton } from "./ColorSchemeButton";
import { lazily } from "./lazily";
import { Mark, PersonIcon } from "./icons";
import { Name } from "./Name";
import classes from "./Shell.module.css";

// Nobody presses a key before the page is there.
const Keyboard = lazily("Keyboard", () => import("../keyboard/Keyboard"));

export function Shell() {
  const people = useCustomersLink();
  const mayViewPlatform = useWhyNot("platform:view") === null;
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
                <ContainersLink />
                <NavLink to="/catalog" className={classes["nav"] ?? ""}>Catalog</NavLink>
                <NavLink to={people.to} className={`${classes["nav"]} ${classes["wide"]}`}>{people.label}</NavLink>
                {mayViewPlatform && <NavLink to="/platform" className={`${classes["nav"]} ${classes["wide"]}`}>Platform</NavLink>}
              </nav>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <LiveBadge />
              <Suspense><Keyboard /></Suspense>
              <ColorSchemeButton />
              <AccountMenu />
            </Group>
          </Group>
        </Container>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1} className={classes["main"] ?? ""}>
        <Container size="lg" py="lg"><Suspense fallback={<Skeleton h={320} aria-label="Loading the page" />}><Outlet /></Suspense></Container>
      </AppShell.Main>
    </AppShell>
  );
}

/** It stands for the pages of single containers too, which do not lie below the list's own path. */
function ContainersLink() {
  const isBelow = useMatch("/containers/*") !== null;
  return <NavLink to="/" end className={`${classes["nav"]} ${isBelow ? "active" : ""}`}>Containers</NavLink>;
}

/** Who has one customer is led to its page, and not to a list of one. */
function useCustomersLink(): { to: string; label: string } {
  const { data: me } = useMe();
  const [only, ...others] = me?.customers ?? [];
  return only && others.length === 0 ? { to: `/customers/${only.id}`, label: "Customer" } : { to: "/customers", label: "Customers" };
}

function AccountMenu() {
  const people = useCustomersLink();
  const mayViewPlatform = useWhyNot("platform:view") === null;
  const { data: me } = useMe();
  const signOut = useSignOut();
  const navigate = useNavigate();
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label="Account menu"><PersonIcon /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label style={{ overflowWrap: "anywhere" }}><Name text={me?.user.email ?? ""} /></Menu.Label>
        <Menu.Item onClick={() => void navigate("/account")}>Account</Menu.Item>
        <Menu.Item hiddenFrom="sm" onClick={() => void navigate(people.to)}>{people.label}</Menu.Item>
        {mayViewPlatform && <Menu.Item hiddenFrom="sm" onClick={() => void navigate("/platform")}>Platform</Menu.Item>}
        <Menu.Item component="a" href="/api/docs" target="_blank" rel="noreferrer">API reference</Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" disabled={signOut.isPending} onClick={() => signOut.mutate()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The frame of every page behind the sign-in. */
import { ActionIcon, AppShell, Container, Group, Skeleton, Text, UnstyledButton } from "@mantine/core";
import { Suspense } from "react";
import { Link, NavLink, Outlet, useMatch } from "react-router";
import { useCustomersLink } from "../customers/useCustomersLink";
import { ConnectionBanner } from "../live/ConnectionBanner";
import { LiveBadge } from "../live/LiveBadge";
import { ReplacedNote } from "../live/ReplacedNote";
import { useWhyNot } from "../session/session";
import { ColorSchemeButton } from "./ColorSchemeButton";
import { Mark, PersonIcon } from "./icons";
import { lazily } from "./lazily";
import classes from "./Shell.module.css";

// Nobody presses a key before the page is there.
const Keyboard = lazily("Keyboard", () => import("../keyboard/Keyboard"));
// A menu is much code for a first page.
const AccountMenu = lazily("AccountMenu", () => import("./AccountMenu"));

export function Shell() {
  const people = useCustomersLink();
  const mayViewPlatform = useWhyNot("platform:view") === null;
  return (
    <AppShell header={{ height: 56 }} padding={0}>
      <a href="#main" className={classes["skip"]}>Skip to the content</a>
      <AppShell.Header>
        <Container size="lg" h="100%">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="md" wrap="nowrap">
              <UnstyledButton component={Link} to="/" aria-label="ZLH, to the containers">
                <Group gap={8} wrap="nowrap"><Mark /><Text fw={700} visibleFrom="xs">ZLH</Text></Group>
              </UnstyledButton>
              <nav aria-label="Main">
                <ContainersLink />
                <NavLink to="/catalog" className={`${classes["nav"]} ${classes["roomy"]}`}>Catalog</NavLink>
                <NavLink to={people.to} className={`${classes["nav"]} ${classes["wide"]}`}>{people.label}</NavLink>
                {mayViewPlatform && <NavLink to="/platform" className={`${classes["nav"]} ${classes["wide"]}`}>Platform</NavLink>}
              </nav>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <LiveBadge />
              <Suspense><Keyboard /></Suspense>
              <ColorSchemeButton />
              <Suspense fallback={<ActionIcon variant="default" size="lg" disabled aria-label="Account menu"><PersonIcon /></ActionIcon>}><AccountMenu /></Suspense>
            </Group>
          </Group>
        </Container>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1} className={classes["main"] ?? ""}>
        <ReplacedNote />
        <ConnectionBanner />
        <Container size="lg" py="lg"><Suspense fallback={<Skeleton h={320} role="status" aria-label="Loading the page" />}><Outlet /></Suspense></Container>
      </AppShell.Main>
    </AppShell>
  );
}

/** It stands for the pages of single containers too, which do not lie below the list's own path. */
function ContainersLink() {
  const isBelow = useMatch("/containers/*") !== null;
  return <NavLink to="/" end className={`${classes["nav"]} ${isBelow ? "active" : ""}`}>Containers</NavLink>;
}

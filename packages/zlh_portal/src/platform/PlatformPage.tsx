/** What operators see: how everything stands, all containers, the machines that they are on, what was done for them, the edge, all customers, all users, and what was done. */
import { Skeleton, Stack, Tabs, Title } from "@mantine/core";
import { Suspense, useEffect, useRef } from "react";
import { useNavigate, useParams } from "react-router";
import classes from "../containers/containers.module.css";
import { lazily } from "../layout/lazily";
import { NotFoundPage } from "../layout/NotFoundPage";
import { usePageTitle } from "../layout/title";
import { useWhyNot } from "../session/session";

const StandingTab = lazily("StandingTab", () => import("./StandingTab"));
const ContainersTab = lazily("ContainersTab", () => import("./ContainersTab"));
const NodesTab = lazily("NodesTab", () => import("./NodesTab"));
const JournalTab = lazily("JournalTab", () => import("./JournalTab"));
const EdgeTab = lazily("EdgeTab", () => import("./EdgeTab"));
const AgentsTab = lazily("AgentsTab", () => import("./AgentsTab"));
const CatalogTab = lazily("CatalogTab", () => import("./CatalogTab"));
const CustomersTab = lazily("CustomersTab", () => import("./CustomersTab"));
const UsersTab = lazily("UsersTab", () => import("./UsersTab"));
const PlatformAuditLog = lazily("PlatformAuditLog", () => import("./PlatformAuditLog"));

const TABS = {
  standing: { label: "Standing", show: () => <StandingTab /> },
  containers: { label: "Containers", show: () => <ContainersTab /> },
  nodes: { label: "Nodes", show: () => <NodesTab /> },
  journal: { label: "Journal", show: () => <JournalTab /> },
  edge: { label: "Edge", show: () => <EdgeTab /> },
  agents: { label: "Agents", show: () => <AgentsTab /> },
  catalog: { label: "Catalog", show: () => <CatalogTab /> },
  customers: { label: "Customers", show: () => <CustomersTab /> },
  users: { label: "Users", show: () => <UsersTab /> },
  "audit-log": { label: "Audit log", show: () => <PlatformAuditLog /> },
} as const;

export function PlatformPage() {
  const { tab = "standing" } = useParams();
  const mayView = useWhyNot("platform:view") === null;
  // Whoever may not see it is told nothing of it, as by the API: the tab of the browser says no more than the page.
  if (!mayView || !(tab in TABS)) return <NotFoundPage />;
  return <Shown tab={tab as keyof typeof TABS} />;
}

function Shown({ tab }: { tab: keyof typeof TABS }) {
  usePageTitle("Platform");
  const navigate = useNavigate();
  const tabs = useRef<HTMLDivElement>(null);
  // On a phone the tabs scroll, and the one that is shown may be out of sight.
  useEffect(() => {
    // What it returns is no concern of React's, which would call it as a clean-up.
    tabs.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [tab]);
  return (
    <Stack gap="md">
      <Title order={1}>Platform</Title>
      <Tabs value={tab} keepMounted={false} onChange={(next) => void navigate(`/platform/${next ?? "standing"}`, { replace: true })}>
        <Tabs.List ref={tabs} className={classes["tabs"] ?? ""} aria-label="About the platform">
          {Object.entries(TABS).map(([key, { label }]) => <Tabs.Tab key={key} value={key}>{label}</Tabs.Tab>)}
        </Tabs.List>
        <Tabs.Panel value={tab} pt="md"><Suspense fallback={<Skeleton h={320} role="status" aria-label="Loading" />}>{TABS[tab].show()}</Suspense></Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

import { Skeleton, Stack, Tabs, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { useNavigate, useParams } from "react-router";
import { asApiError } from "../api/problem";
import type { ContainerStatus } from "../api/types";
import { SuspendedBanner } from "../customers/SuspendedBanner";
import { useGame } from "../games/queries";
import { lazily } from "../layout/lazily";
import { NotFoundPage } from "../layout/NotFoundPage";
import { Problem } from "../layout/Problem";
import { BackTo } from "../layout/BackTo";
import { usePageTitle } from "../layout/title";
import { WhereBroken } from "../layout/WhereBroken";
import { useCrashToasts } from "../processes/useCrashToasts";
import classes from "./containers.module.css";
import { DetailHeader } from "./DetailHeader";
import { FailureAlert } from "./FailureAlert";
import { OverviewTab } from "./OverviewTab";
import { useContainer } from "./queries";
import { sayGone } from "./states";
import { isTab, type Tab, tabsOf } from "./tabs";

const AddonsTab = lazily("AddonsTab", () => import("../addons/AddonsTab"));
const FilesTab = lazily("FilesTab", () => import("../files/FilesTab"));
const GameTab = lazily("GameTab", () => import("../games/GameTab"));
const HistoryTab = lazily("HistoryTab", () => import("../history/HistoryTab"));
const MetricsTab = lazily("MetricsTab", () => import("../metrics/MetricsTab"));
const ModsTab = lazily("ModsTab", () => import("../mods/ModsTab"));
const PortsTab = lazily("PortsTab", () => import("../exposures/PortsTab"));
const ProcessesTab = lazily("ProcessesTab", () => import("../processes/ProcessesTab"));
const RuntimesTab = lazily("RuntimesTab", () => import("../runtimes/RuntimesTab"));
const SettingsTab = lazily("SettingsTab", () => import("./SettingsTab"));
const TerminalsTab = lazily("TerminalsTab", () => import("../console/TerminalsTab"));

const PARTS: Readonly<Record<Tab, (status: ContainerStatus) => ReactNode>> = {
  overview: (status) => <OverviewTab status={status} />,
  game: (status) => <GameTab status={status} />,
  mods: (status) => <ModsTab status={status} />,
  processes: (status) => <ProcessesTab status={status} />,
  terminal: (status) => <TerminalsTab status={status} />,
  files: (status) => <FilesTab status={status} />,
  metrics: (status) => <MetricsTab status={status} />,
  history: (status) => <HistoryTab status={status} />,
  ports: (status) => <PortsTab status={status} />,
  runtimes: (status) => <RuntimesTab status={status} />,
  addons: (status) => <AddonsTab status={status} />,
  settings: (status) => <SettingsTab status={status} />,
};

export function DetailPage() {
  const { vmid = "", tab = "overview", item } = useParams();
  if (!/^\d{1,9}$/.test(vmid) || !isTab(tab) || (item !== undefined && tab !== "processes")) return <NotFoundPage />;
  return <Detail key={vmid} vmid={Number(vmid)} tab={tab} />;
}

function Detail({ vmid, tab }: { vmid: number; tab: Tab }) {
  const query = useContainer(vmid);
  const status = query.data;
  const { data: game, error: gameError, refetch: askForGame } = useGame(status);
  const [open, setOpen] = useState<Tab | null>(null);
  const navigate = useNavigate();
  const tabs = useRef<HTMLDivElement>(null);
  usePageTitle(status?.name ?? `Container ${vmid}`);
  useCrashToasts(status);
  const isGone = query.error !== null && asApiError(query.error).status === 404;
  const wasThere = isGone && status !== undefined;

  // Who has watched the deletion to its end is brought back to the list; a wrong address is told so.
  const farewell = wasThere ? sayGone(status) : null;
  useEffect(() => {
    if (farewell === null) return;
    notifications.show({ message: farewell });
    void navigate("/", { replace: true });
  }, [farewell, navigate]);

  // On a phone the tabs scroll, and the one that is shown may be out of sight.
  const isLoaded = status !== undefined;
  useEffect(() => {
    if (isLoaded) tabs.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [tab, isLoaded]);

  if (isGone && !wasThere) return <NotFoundPage what="container" />;
  if (!status) return query.error ? <Problem error={query.error} title="This container cannot be shown" onRetry={() => void query.refetch()} /> : <DetailSkeleton />;
  const shown = tabsOf(status, game?.mods, open);
  const isThere = shown.some((each) => each.tab === tab);
  if (isThere && open !== tab) setOpen(tab);
  // Whether a server takes mods is known a moment later than the rest.
  const isAsking = tab === "mods" && status.kind === "game" && game === undefined;
  if (!isAsking && !isThere) return <NotFoundPage />;
  return (
    <Stack gap="md">
      <div><BackTo to="/" label="Containers" /><DetailHeader status={status} /></div>
      <SuspendedBanner customerId={status.customerId} isSuspended={status.suspended} />
      <FailureAlert status={status} />
      <Tabs value={tab} keepMounted={false} onChange={(next) => void navigate(`/containers/${vmid}/${next ?? "overview"}`, { replace: true })}>
        <Tabs.List ref={tabs} className={classes["tabs"] ?? ""} aria-label="About this container">
          {shown.map(({ tab: key, label }) => (
            <Tabs.Tab key={key} value={key} {...(key === "settings" ? { ml: "auto" } : {})}>{label}</Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={tab} pt="md"><WhereBroken key={tab}><Suspense fallback={<Skeleton h={420} role="status" aria-label="Loading" />}>{!isAsking ? PARTS[tab](status) : gameError ? <Problem error={gameError} title="Whether this server takes mods cannot be read" onRetry={() => void askForGame()} /> : <Skeleton h={420} role="status" aria-label="Loading" />}</Suspense></WhereBroken></Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

function DetailSkeleton() {
  return (
    <Stack gap="md" role="status">
      <Text size="sm" c="dimmed">Loading…</Text>
      <Skeleton h={40} maw={360} />
      <Skeleton h={36} />
      <Skeleton h={320} />
    </Stack>
  );
}

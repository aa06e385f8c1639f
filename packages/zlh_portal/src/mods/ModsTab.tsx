/** Mods of a game server, whatever the game calls them: what is there, how it is, and what can be done with it. */
import { Alert, Badge, Group, Skeleton, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { asApiError } from "../api/problem";
import type { ChangeProgress, ContainerStatus, ModSeen, ModsReport } from "../api/types";
import { RestartDue } from "../games/RestartDue";
import { startOf } from "../games/words";
import { ActionButton } from "../layout/ActionButton";
import { Bar } from "../layout/Bar";
import { Name } from "../layout/Name";
import { percentOf } from "../layout/percent";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { tellProblem } from "../layout/tell";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { Unheard } from "../containers/Unheard";
import { formatBytes, isolateOdd } from "../layout/words";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { type Asked, PlanModal } from "./PlanModal";
import { type Switch, useChangeProgress, useIdentifyMods, useMods, useRollBackMods, useSwitchMod, useVerifyMods } from "./queries";
import { SearchSection } from "./SearchSection";
import { describeCondition, goesOn, lastChange, NOTHING, whoNeeds, whyNoChange } from "./words";
import { Said } from "../layout/Said";

export function ModsTab({ status }: { status: ContainerStatus }) {
  const { vmid } = status;
  const query = useMods(vmid, status.connection === "online", startOf(status));
  const [asked, setAsked] = useState<Asked | null>(null);
  const [begun, setBegun] = useState<ChangeProgress | null>(null);
  const progress = useChangeProgress(vmid, begun);
  const mayChange = useRights(status).change;
  const reason = whyNoChange(status, begun !== null && goesOn(progress.data ?? begun, progress.error));
  if (query.error && !query.data) return <Problem error={query.error} title="The mods cannot be listed" onRetry={() => void query.refetch()} />;
  if (!query.data) return status.connection === "online" ? <Skeleton h={320} role="status" aria-label="Loading the mods" /> : <Unheard status={status} off="What is there is known once it runs." silent="and only it knows what is there." />;
  const report = query.data;
  return (
    <Stack gap="md">
      <MayNot permission="containers:change" customerId={status.customerId} />
      {report.trouble && <Alert color="orange" title="The list of mods cannot be believed"><Said text={report.trouble} /></Alert>}
      <Unheard status={status} off="What stands here is what there was; it can be changed once it runs." silent="so what you see is what it told last; nothing can be changed until it is back." />
      {report.isRestartDue && <RestartDue status={status} why="The server runs with what was there when it was started." />}
      {begun && <Underway progress={progress.data ?? begun} error={progress.error} onClose={() => setBegun(null)} />}
      <Installed vmid={vmid} report={report} mayChange={mayChange} reason={reason} onAsk={setAsked} onBegun={setBegun} />
      {report.unknown.length > 0 && <Unknown vmid={vmid} report={report} mayChange={mayChange} reason={reason} onBegun={setBegun} />}
      <SearchSection vmid={vmid} mayChange={mayChange} reason={reason} onInstall={({ projectId, title }) => setAsked({ title: `Install ${isolateOdd(title)}`, project: projectId, there: null })} />
      {asked && <PlanModal vmid={vmid} asked={asked} onClose={() => setAsked(null)} onBegun={(change) => {
        setAsked(null);
        setBegun(change);
      }} />}
    </Stack>
  );
}

function Underway({ progress, error, onClose }: { progress: ChangeProgress; error: unknown; onClose: () => void }) {
  const { state, doneBytes, totalBytes, message, code } = progress;
  const percent = percentOf({ doneBytes, totalBytes });
  const away = error === null ? null : asApiError(error).detail;
  if (state === "failed") return <Alert color="red" title="The change was not made; nothing of it is there" withCloseButton closeButtonLabel="Hide this" onClose={onClose}><Said text={message ?? code ?? "The agent has not said why."} /></Alert>;
  if (state === "done") return <Alert color="teal" withCloseButton closeButtonLabel="Hide this" onClose={onClose} role="status">The change is made.</Alert>;
  if (!goesOn(progress, error)) return <Alert color="orange" title="How the change went is not known" withCloseButton closeButtonLabel="Hide this" onClose={onClose}><Said text={away ?? ""} /> What is there now is listed below.</Alert>;
  return (
    <Alert color="gray" role="status" title="A change is being made">
      <Bar percent={percent} label="How far it is" />
      <Text size="xs" mt={4} className="numbers">{message === null ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}` : <Said text={message} />}</Text>
      {away !== null && <Text size="xs" mt={4}>How far it is cannot be asked now: <Said text={away} /></Text>}
    </Alert>
  );
}

interface PartProps {
  vmid: number;
  report: ModsReport;
  /** Whether the person may change what is there; what they may not is not shown. */
  mayChange: boolean;
  /** Why nothing can be changed now; null where it can. */
  reason: string | null;
  onBegun: (change: ChangeProgress) => void;
}

function Installed({ vmid, report, mayChange, reason, onAsk, onBegun }: PartProps & { onAsk: (asked: Asked) => void }) {
  const verify = useVerifyMods(vmid);
  const rollback = useRollBackMods(vmid);
  const last = lastChange(report);
  const action = mayChange && (
    <Group gap={6}>
      {report.mods.length > 0 && <ActionButton size="compact-sm" variant="light" reason={reason} onClick={() => onAsk({ title: "Update all", wish: { ...NOTHING, updateAll: true } })}>Update all</ActionButton>}
      <ActionButton size="compact-sm" variant="default" reason={reason} loading={verify.isPending} onClick={() => verify.mutate(undefined, { onError: tellProblem("They were not verified") })}>Verify</ActionButton>
      {last && <ActionButton size="compact-sm" variant="default" reason={reason} loading={rollback.isPending} onClick={() => rollback.mutate(last.id, { onSuccess: onBegun, onError: tellProblem("It was not undone") })}>Undo the last change</ActionButton>}
    </Group>
  );
  return (
    <Section title="Installed" about={last ? <>Last changed <TimeAgo time={last.at} />.</> : <>In the folder <Name text={report.folder} />.</>} action={action}>
      {report.mods.length === 0 && <Text size="sm" c="dimmed">Nothing yet. Find something below; what it needs comes along.</Text>}
      <ul className={rows["list"]} aria-label="Installed mods">
        {report.mods.map((mod) => <ModRow key={mod.entry.file.projectId} vmid={vmid} mod={mod} neededBy={whoNeeds(mod.entry.file.projectId, report.mods)} mayChange={mayChange} reason={reason} onAsk={onAsk} onBegun={onBegun} />)}
      </ul>
    </Section>
  );
}

interface RowProps {
  vmid: number;
  mod: ModSeen;
  neededBy: string[];
  mayChange: boolean;
  reason: string | null;
  onAsk: (asked: Asked) => void;
  onBegun: (change: ChangeProgress) => void;
}

function ModRow({ vmid, mod, neededBy, mayChange, reason, onAsk, onBegun }: RowProps) {
  const change = useSwitchMod(vmid);
  const { file, isEnabled, isPinned } = mod.entry;
  const project = file.projectId;
  const condition = describeCondition(mod);
  const turn = (to: Switch) => change.mutate({ project, to }, { onSuccess: onBegun, onError: tellProblem(`${isolateOdd(file.title)} was not changed`) });
  return (
    <li className={rows["row"]} data-testid={`mod-${project}`}>
      <div className={rows["grow"]}>
        <Group gap={6}><Text size="sm" fw={600}><Name text={file.title} /></Text><Text size="xs" c="dimmed" className="numbers"><Name text={file.versionNumber} />, {formatBytes(file.size)}</Text>
          {!isEnabled && <Badge variant="light" color="gray">Disabled</Badge>}{isPinned && <Badge variant="light">Pinned</Badge>}{condition && <ToneBadge words={condition} testId={`condition-${project}`} />}</Group>
        {neededBy.length > 0 && <Text size="xs" c="dimmed">Needed by {neededBy.map(isolateOdd).join(", ")}</Text>}
      </div>
      {mayChange && (
        <Group gap={6} role="group" aria-label={`Actions on ${isolateOdd(file.title)}`}>
          {(mod.condition === "changed" || mod.condition === "missing") && <ActionButton size="compact-xs" variant="light" reason={reason} loading={change.isPending} onClick={() => turn("repair")}>Repair</ActionButton>}
          <ActionButton size="compact-xs" variant="default" reason={reason} onClick={() => onAsk({ title: `Update ${isolateOdd(file.title)}`, project, there: mod })}>Update</ActionButton>
          <ActionButton size="compact-xs" variant="default" reason={reason} loading={change.isPending} onClick={() => turn(isEnabled ? "disable" : "enable")}>{isEnabled ? "Disable" : "Enable"}</ActionButton>
          <ActionButton size="compact-xs" variant="default" reason={reason} loading={change.isPending} onClick={() => turn(isPinned ? "unpin" : "pin")}>{isPinned ? "Unpin" : "Pin"}</ActionButton>
          <ActionButton size="compact-xs" variant="subtle" color="red" c="red" reason={reason} onClick={() => onAsk({ title: `Remove ${isolateOdd(file.title)}`, wish: { ...NOTHING, remove: [project] } })}>Remove</ActionButton>
        </Group>
      )}
    </li>
  );
}

function Unknown({ vmid, report, mayChange, reason, onBegun }: PartProps) {
  const identify = useIdentifyMods(vmid);
  const known = new Map(identify.data?.items.map((item) => [item.fileName, item]));
  const run = (adopt: boolean) => identify.mutate(adopt, { onSuccess: ({ change }) => change && onBegun(change), onError: tellProblem("The files were not looked up") });
  const action = mayChange && <Group gap={6}><ActionButton size="compact-sm" variant="default" reason={reason} loading={identify.isPending} onClick={() => run(false)}>Identify</ActionButton>{identify.data?.items.some(({ projectId }) => projectId !== null) && <ActionButton size="compact-sm" variant="light" reason={reason} disabled={identify.isPending} onClick={() => run(true)}>Take in what is known</ActionButton>}</Group>;
  return (
    <Section title="Other files" about="In the folder as well, and not installed from here. They are never replaced." action={action}>
      <ul className={rows["list"]} aria-label="Other files">
        {report.unknown.map(({ fileName, size }) => {
          const found = known.get(fileName);
          return <li key={fileName}><Text size="sm" style={{ overflowWrap: "anywhere" }}><Name text={fileName} /> <Text span size="xs" c="dimmed">{formatBytes(size)}{found && (found.title ? `, ${isolateOdd(found.title)} ${isolateOdd(found.versionNumber ?? "")}` : ", known to nobody")}</Text></Text></li>;
        })}
      </ul>
    </Section>
  );
}

/** What is installed in a container, how far what is wished is, and how one gets another version. */
import { Group, Paper, Skeleton, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { ContainerStatus, Runtimes } from "../api/types";
import { useRuntimeOffers } from "../catalog/queries";
import { ActionButton } from "../layout/ActionButton";
import { ConfirmModal } from "../layout/ConfirmModal";
import { PlusIcon } from "../layout/icons";
import { Problem } from "../layout/Problem";
import { Unheard } from "../containers/Unheard";
import { formatBytes, isolateOdd } from "../layout/words";
import { MayNot } from "../session/MayNot";
import { useWhyNot } from "../session/session";
import { InstallModal } from "./InstallModal";
import { usePrune, useRuntimes } from "./queries";
import { ShellsCard } from "./ShellsCard";
import { groupRuntimes, type Group as RuntimeVersions } from "./rows";
import { RuntimeGroup } from "./RuntimeGroup";
import { tellProblem } from "../layout/tell";

export function RuntimesTab({ status }: { status: ContainerStatus }) {
  const query = useRuntimes(status);
  if (query.data) return <Loaded status={status} runtimes={query.data} />;
  if (query.error) return <Problem error={query.error} title="The runtimes cannot be listed" onRetry={() => void query.refetch()} />;
  return <Stack gap="sm" role="status" aria-label="Loading the runtimes"><Skeleton h={120} /><Skeleton h={120} /></Stack>;
}

function Loaded({ status, runtimes }: { status: ContainerStatus; runtimes: Runtimes }) {
  const { data: offers } = useRuntimeOffers();
  const mayChange = useWhyNot("containers:change", status.customerId) === null;
  const reason = status.lifecycle === "deleting" ? "The container is being deleted." : null;
  const [isInstalling, { open, close }] = useDisclosure(false);
  const groups = groupRuntimes(runtimes, status, offers ?? []);
  return (
    <Stack gap="md">
      <Group justify="space-between" gap="xs">
        <Text size="sm" c="dimmed" maw={560}>Versions stand beside each other; the default is what a name such as <span className="mono">node</span> leads to.</Text>
        {mayChange && (
          <Group gap="xs">
            <PruneButton vmid={status.vmid} groups={groups} reason={reason} />
            <ActionButton leftSection={<PlusIcon />} reason={reason} onClick={open}>Install a runtime</ActionButton>
          </Group>
        )}
      </Group>
      <MayNot permission="containers:change" customerId={status.customerId} />
      <Unheard status={status} off="What is asked for here is done once it runs." silent="so what you see is what it told last; what is asked for here waits until it is back." />
      {groups.length === 0 && <Paper><Text c="dimmed" size="sm">Nothing is installed yet.</Text></Paper>}
      {groups.map((group) => <RuntimeGroup key={group.name} status={status} group={group} groups={groups} mayChange={mayChange} reason={reason} />)}
      {status.shells && <ShellsCard report={status.shells} />}
      {isInstalling && <InstallModal status={status} groups={groups} onClose={close} />}
    </Stack>
  );
}

function PruneButton({ vmid, groups, reason }: { vmid: number; groups: readonly RuntimeVersions[]; reason: string | null }) {
  const prune = usePrune(vmid);
  const [isAsking, setAsking] = useState(false);
  const kept = groups.flatMap(({ previous }) => (previous ? [previous] : []));
  if (kept.length === 0) return null;
  const size = kept.reduce((sum, { record }) => sum + (record?.size ?? 0), 0);
  const say = (refs: readonly { name: string; version: string }[]) => refs.map(({ name, version }) => isolateOdd(`${name} ${version}`)).join(", ");
  const act = () =>
    prune.mutate(undefined, {
      onSuccess: ({ removed, inUse }) => {
        const used = inUse.length > 0 ? ` ${say(inUse)} is in use and stays.` : "";
        notifications.show({ color: removed.length > 0 ? "teal" : "gray", message: `${removed.length > 0 ? `${say(removed)} goes.` : "Nothing was removed."}${used}` });
      },
      onError: tellProblem("Nothing was removed"),
      onSettled: () => setAsking(false),
    });
  return (
    <>
      <ActionButton variant="default" reason={reason} onClick={() => setAsking(true)}>Free space</ActionButton>
      {isAsking && (
        <ConfirmModal
          title="Remove what is kept to go back to?" action="Remove" isPending={prune.isPending} onConfirm={act} onClose={() => setAsking(false)}
          meaning={`${say(kept)}: up to ${formatBytes(size)}. There is no rollback then until the next upgrade. What was asked for beside a default stays, and so does what is in use.`}
        />
      )}
    </>
  );
}

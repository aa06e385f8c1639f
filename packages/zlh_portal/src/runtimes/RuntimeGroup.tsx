/** All versions of one runtime, and what can be done with the runtime as a whole. */
import { Group, Paper, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { ContainerStatus, RuntimeVerification } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { Name } from "../layout/Name";
import { ConfirmModal } from "../layout/ConfirmModal";
import { formatBytes, isolateOdd } from "../layout/words";
import { useInstall, useRemove, useRepair, useRollback, useUpgrade, useVerify } from "./queries";
import { type Action, type Group as RuntimeVersions, type Row, whyStays } from "./rows";
import classes from "./runtimes.module.css";
import { VersionRow } from "./VersionRow";
import { tellProblem } from "../layout/tell";

interface Props {
  status: ContainerStatus;
  group: RuntimeVersions;
  groups: readonly RuntimeVersions[];
  /** Whether the person may change what is installed; what they may not is not shown. */
  mayChange: boolean;
  /** Why nothing can be changed now; null where it can. */
  reason: string | null;
}

export function RuntimeGroup({ status, group, groups, mayChange, reason }: Props) {
  const upgrade = useUpgrade(status);
  const rollback = useRollback(status);
  const versions = useVersions(status);
  const [leaving, setLeaving] = useState<Row | null>(null);
  const isBusy = versions.busy !== null || upgrade.isPending || rollback.isPending;
  const title = isolateOdd(group.title);
  const rollBack = () => rollback.mutate(group.name, { onError: tellProblem(`${title} was not rolled back`) });
  const act = (row: Row, action: Action) => (action === "remove" ? setLeaving(row) : versions.act(row, action));
  const { upgrade: newer, previous } = group;

  return (
    <Paper data-testid={`runtime-${group.name}`}>
      <Group justify="space-between" gap="xs">
        <Title order={2} miw={0}><Name text={group.title} /> {group.title !== group.name && <Text span size="sm" c="dimmed" fw={400}><Name text={group.name} /></Text>}</Title>
        <Group gap={6} role="group" aria-label={`Actions on ${title}`}>
          {mayChange && newer && (
            <ActionButton size="compact-sm" variant="light" reason={reason} loading={upgrade.isPending} disabled={isBusy && !upgrade.isPending} onClick={() => upgrade.mutate({ name: group.name, version: newer }, { onError: tellProblem(`${title} was not upgraded`) })}>
              Upgrade to {isolateOdd(newer)}
            </ActionButton>
          )}
          {mayChange && previous && previous.version !== newer && (
            <ActionButton size="compact-sm" variant="default" reason={reason} loading={rollback.isPending} disabled={isBusy && !rollback.isPending} onClick={rollBack}>
              Roll back to {isolateOdd(previous.version)}
            </ActionButton>
          )}
        </Group>
      </Group>
      <ul className={classes["rows"]} aria-label={`Versions of ${title}`}>
        {group.rows.map((row) => (
          <VersionRow
            key={row.version} row={row} mayChange={mayChange} canChange={reason === null} isBusy={isBusy} busy={versions.busy?.version === row.version ? versions.busy.action : null}
            whyNot={(action) => reason ?? whyNot(action, row, groups, status)} verification={versions.found[row.version] ?? null}
            back={previous && row.becomesDefault ? { version: previous.version, onClick: rollBack } : undefined} onAct={(action) => act(row, action)}
          />
        ))}
      </ul>
      {leaving && (
        <ConfirmModal
          title={`Remove ${isolateOdd(`${leaving.name} ${leaving.version}`)}?`} action="Remove" isPending={versions.busy?.action === "remove"}
          meaning={`${leaving.record ? `It frees ${formatBytes(leaving.record.size)}. ` : ""}What was installed into it goes with it, such as global packages. Nothing is removed while a program runs from it.`}
          onConfirm={() => versions.act(leaving, "remove", () => setLeaving(null))} onClose={() => setLeaving(null)}
        />
      )}
    </Paper>
  );
}

function whyNot(action: Action, row: Row, groups: readonly RuntimeVersions[], status: ContainerStatus): string | null {
  if (action === "remove") return whyStays(row, groups);
  if (action === "verify" && status.connection !== "online") return "The agent of this container is not heard now, and only it can look at the files.";
  return null;
}

const FAILURES: Readonly<Record<Action, string>> = {
  default: "is not the default", verify: "was not verified", repair: "is not installed anew", remove: "was not removed",
};

/** Acts on versions one at a time, and keeps what checks have found. */
function useVersions(status: ContainerStatus) {
  const install = useInstall(status);
  const repair = useRepair(status);
  const remove = useRemove(status);
  const verify = useVerify(status.vmid);
  const [busy, setBusy] = useState<{ version: string; action: Action } | null>(null);
  const [found, setFound] = useState<Readonly<Record<string, RuntimeVerification | null>>>({});
  const note = (version: string, result: RuntimeVerification | null) =>
    setFound((before) => ({ ...before, [version]: result }));

  const perform = async ({ name, version }: Row, action: Action): Promise<void> => {
    switch (action) {
      case "default":
        await install.mutateAsync({ name, version, default: true });
        return;
      case "repair":
        await repair.mutateAsync({ name, version });
        note(version, null);
        return;
      case "remove":
        await remove.mutateAsync({ name, version });
        return;
      case "verify":
        note(version, await verify.mutateAsync({ name, version }));
    }
  };
  const act = (row: Row, action: Action, onEnd?: () => void) => {
    setBusy({ version: row.version, action });
    void perform(row, action)
      .catch(tellProblem(`${isolateOdd(`${row.name} ${row.version}`)} ${FAILURES[action]}`))
      .finally(() => {
        setBusy(null);
        onEnd?.();
      });
  };
  return { act, busy, found };
}

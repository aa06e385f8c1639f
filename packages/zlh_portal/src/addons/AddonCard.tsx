/** One addon of a container: how it is, the way into it, its versions, and what can be done with them. */
import { Badge, Group, Paper, Text, Title, Tooltip } from "@mantine/core";
import { useState } from "react";
import type { AddonStatus, ContainerStatus, RuntimeVerification } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { Name } from "../layout/Name";
import { ConfirmModal } from "../layout/ConfirmModal";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { formatBytes, isolateOdd } from "../layout/words";
import { type Group as AddonVersions, isLeaving, offerActions, type Row } from "../runtimes/rows";
import classes from "../runtimes/runtimes.module.css";
import { VerificationResult } from "../runtimes/VerificationResult";
import { VersionProgress } from "../runtimes/VersionProgress";
import { OpenEditor } from "./OpenEditor";
import { useRemoveAddon, useRepairAddon, useRollbackAddon, useUpgradeAddon, useVerifyAddon } from "./queries";
import { describeAddon, titleOfAddon } from "./words";
import { tellProblem } from "../layout/tell";

interface Props {
  status: ContainerStatus;
  addon: AddonStatus;
  /** Null where nothing is known of its versions yet. */
  versions: AddonVersions | null;
  mayChange: boolean;
  reason: string | null;
}

export function AddonCard({ status, addon, versions, mayChange, reason }: Props) {
  const upgrade = useUpgradeAddon(status);
  const rollback = useRollbackAddon(status);
  const remove = useRemoveAddon(status);
  const [isAsking, setAsking] = useState(false);
  const { name } = addon;
  const isBusy = upgrade.isPending || rollback.isPending || remove.isPending;
  const newer = versions?.upgrade ?? null;
  const previous = versions?.previous ?? null;
  const title = titleOfAddon(name);
  const label = isolateOdd(name);
  // It is listed until its files are gone, and is there no more.
  const isGoing = versions !== null && isLeaving(versions);
  return (
    <Paper data-testid={`addon-${name}`}>
      <Group justify="space-between" gap="xs">
        <Group gap="sm" miw={0}>
          <Title order={2} miw={0}><Name text={title} /> <Text span size="sm" c="dimmed" fw={400}><Name text={name} />{addon.version && <> <Name text={addon.version} /></>}</Text></Title>
          <ToneBadge words={describeAddon(addon)} testId={`addon-state-${name}`} />
        </Group>
        {mayChange && (
          <Group gap={6} role="group" aria-label={`Actions on ${label}`}>
            {!isGoing && newer && (
              <ActionButton size="compact-sm" variant="light" reason={reason} loading={upgrade.isPending} disabled={isBusy && !upgrade.isPending} onClick={() => upgrade.mutate({ name, version: newer }, { onError: tellProblem(`${label} was not upgraded`) })}>
                Upgrade to {isolateOdd(newer)}
              </ActionButton>
            )}
            {!isGoing && previous && previous.version !== newer && (
              <ActionButton size="compact-sm" variant="default" reason={reason} loading={rollback.isPending} disabled={isBusy && !rollback.isPending} onClick={() => rollback.mutate(name, { onError: tellProblem(`${label} was not rolled back`) })}>
                Roll back to {isolateOdd(previous.version)}
              </ActionButton>
            )}
            {!isGoing && <ActionButton size="compact-sm" variant="subtle" color="red" c="red" reason={reason} disabled={isBusy} aria-label={`Remove ${label}`} onClick={() => setAsking(true)}>Remove</ActionButton>}
          </Group>
        )}
      </Group>
      <Group mt="sm" gap="md">{isGoing ? <Text size="sm" c="dimmed">It is being removed.</Text> : <OpenEditor addon={addon} status={status} />}</Group>
      {addon.lastUsedAt && <Text size="sm" c="dimmed" mt="xs">Last used <TimeAgo time={addon.lastUsedAt} />.</Text>}
      {versions && (
        <ul className={classes["rows"]} aria-label={`Versions of ${label}`}>
          {versions.rows.map((row) => <Version key={row.version} row={row} status={status} mayChange={mayChange} reason={reason} />)}
        </ul>
      )}
      {isAsking && (
        <ConfirmModal
          title={`Remove ${isolateOdd(title.toLowerCase())}?`} action="Remove" isPending={remove.isPending}
          meaning="It ends, whoever works in it is disconnected, and its address opens nothing any more. Files in the workspace stay; settings and extensions are found again when it is enabled again."
          onConfirm={() => remove.mutate(name, { onError: tellProblem(`${label} was not removed`), onSettled: () => setAsking(false) })} onClose={() => setAsking(false)}
        />
      )}
    </Paper>
  );
}

function Version({ row, status, mayChange, reason }: { row: Row; status: ContainerStatus; mayChange: boolean; reason: string | null }) {
  const verify = useVerifyAddon(status.vmid);
  const repair = useRepairAddon(status);
  const [found, setFound] = useState<RuntimeVerification | null>(null);
  const { record } = row;
  const name = isolateOdd(`${row.name} ${row.version}`);
  const offered = offerActions(row);
  const unheard = status.connection === "online" ? null : "The agent of this container is not heard now, and only it can look at the files.";
  const onRepair = () => repair.mutate(row, { onSuccess: () => setFound(null), onError: tellProblem(`${name} is not installed anew`) });
  return (
    <li className={classes["row"]} data-testid={`addon-version-${row.version}`}>
      <Group justify="space-between" gap="xs">
        <Group gap={8}>
          <Text fw={600} className="numbers"><Name text={row.version} /></Text>
          {row.isDefault && <Badge variant="light">In use</Badge>}
          {row.becomesDefault && <Tooltip label="It runs once it is in place; until then the version before."><Badge variant="outline" tabIndex={0}>Next</Badge></Tooltip>}
          {row.isPrevious && !row.isDefault && <Tooltip label="Ran before, and is kept to go back to."><Badge variant="light" color="gray" tabIndex={0}>Previous</Badge></Tooltip>}
          {record && <Badge variant="light" color={record.verified ? "teal" : "orange"}>{record.verified ? "Verified" : "Files differ"}</Badge>}
          {!row.isWanted && <Badge variant="light" color="orange">Leaving</Badge>}
          {record && <Text size="sm" c="dimmed">{formatBytes(record.size)}</Text>}
        </Group>
        {mayChange && offered.includes("verify") && (
          <Group gap={6}>
            {offered.includes("repair") && <ActionButton size="compact-sm" variant="light" color="orange" reason={reason} loading={repair.isPending} aria-label={`Repair ${name}`} onClick={onRepair}>Repair</ActionButton>}
            <ActionButton size="compact-sm" variant="default" reason={reason ?? unheard} loading={verify.isPending} aria-label={`Verify ${name}`} onClick={() => verify.mutate(row, { onSuccess: setFound, onError: tellProblem(`${name} was not verified`) })}>Verify</ActionButton>
          </Group>
        )}
      </Group>
      <VersionProgress row={row} isBusy={repair.isPending} onRetry={mayChange && reason === null ? onRepair : undefined} />
      {found && <VerificationResult found={found} />}
    </li>
  );
}

/** Copies of a server's folder, and the way back to one of them. */
import { Group, Text } from "@mantine/core";
import { useState } from "react";
import type { ContainerStatus, GameBackup, GameDetail } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { ConfirmModal } from "../layout/ConfirmModal";
import { Name } from "../layout/Name";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { tellDone, tellProblem } from "../layout/tell";
import { TimeAgo } from "../layout/TimeAgo";
import { formatBytes, isolate, isolateOdd } from "../layout/words";
import { useRights } from "../session/session";
import { useBackUp, useRestore } from "./queries";
import { explainBackup, explainRestore, whyNoBackup, whyNoChange } from "./words";

export function BackupsSection({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  const [chosen, setChosen] = useState<GameBackup | null>(null);
  const [isAsking, setAsking] = useState(false);
  const restore = useRestore(status.vmid);
  const backUp = useBackUp(status.vmid);
  const mayChange = useRights(status).change;
  const confirm = ({ id, version }: GameBackup) =>
    restore.mutate(id, { onSuccess: () => tellDone(`It goes back to the backup of ${isolate(version)}.`), onError: tellProblem("The backup was not restored"), onSettled: () => setChosen(null) });
  return (
    <Section
      title="Backups" about="Made before the version is changed, and when you ask; the three newest are kept."
      action={mayChange && <ActionButton size="compact-sm" variant="light" reason={whyNoBackup(status, game.state)} onClick={() => setAsking(true)}>Back up now</ActionButton>}
    >
      {game.backups.length === 0 && <Text size="sm" c="dimmed" data-testid="no-backups">None yet. With one, the server as it was can be had back from here. To keep a copy of your own, download the folder in Files.</Text>}
      <ul className={rows["list"]} aria-label="Backups">
        {game.backups.map((backup) => (
          <li key={backup.id} data-testid={`backup-${backup.id}`}>
            <Group justify="space-between" gap="xs" py={6}>
              <Text size="sm" style={{ overflowWrap: "anywhere" }}><Text span fw={600} inherit className="numbers"><Name text={backup.version} /></Text> <Text span c="dimmed" inherit>{formatBytes(backup.size)}, made <TimeAgo time={backup.madeAt} /></Text></Text>
              {mayChange && <ActionButton size="compact-sm" variant="subtle" color="red" c="red" reason={whyNoChange(status, game.state)} aria-label={`Restore the backup of ${isolateOdd(backup.version)}`} onClick={() => setChosen(backup)}>Restore</ActionButton>}
            </Group>
          </li>
        ))}
      </ul>
      {isAsking && (
        <ConfirmModal
          title="Make a backup now?" action="Back up" isGrave={false} isPending={backUp.isPending} meaning={explainBackup(status.power === "on")} onClose={() => setAsking(false)}
          onConfirm={() => backUp.mutate(undefined, { onSuccess: () => tellDone("A backup is being made; it stands here once it is whole."), onError: tellProblem("No backup is made"), onSettled: () => setAsking(false) })}
        />
      )}
      {chosen && (
        <ConfirmModal
          title={`Replace everything with the backup of ${isolateOdd(chosen.version)}?`} action="Replace everything" isPending={restore.isPending} onConfirm={() => confirm(chosen)} onClose={() => setChosen(null)}
          meaning={explainRestore(chosen, new Date(chosen.madeAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }))}
        />
      )}
    </Section>
  );
}

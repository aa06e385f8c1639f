/** One process with its console, which stays attached over its ends and starts. */
import { Alert, Button, Group, Stack, Text, Title } from "@mantine/core";
import { useMemo } from "react";
import { Link } from "react-router";
import type { ContainerStatus, Process } from "../api/types";
import { ConsolePane } from "../console/ConsolePane";
import { processSource } from "../console/source";
import { isGuestOff } from "../containers/states";
import { usePageTitle } from "../layout/title";
import { MayNot } from "../session/MayNot";
import type { Rights } from "../session/permissions";
import { useMayStay } from "../session/session";
import { joinWords } from "./argv";
import classes from "./processes.module.css";
import { ProcessActions } from "./ProcessActions";
import { ProcessNotes } from "./ProcessNotes";
import { ProcessState } from "./ProcessState";

interface Props {
  status: ContainerStatus;
  process: Process;
  may: Rights;
  onEdit: () => void;
}

export function ProcessPage({ status, process, may, onEdit }: Props) {
  const { vmid } = status;
  usePageTitle(`${process.name} · ${status.name}`);
  return (
    <Stack gap="sm" className={classes["page"] ?? ""} data-testid="process-page">
      <Group justify="space-between" gap="xs">
        <Group gap="sm" miw={0}>
          <Button component={Link} to={`/containers/${vmid}/processes`} variant="subtle" color="gray" c="dimmed" fw={500} size="compact-sm" ml={-8} aria-label="Back to the processes">← Processes</Button>
          <Title order={2} style={{ overflowWrap: "anywhere" }}>{process.name}</Title>
          <ProcessState process={process} />
        </Group>
        <Group gap={6}>
          {may.power && <ProcessActions vmid={vmid} process={process} />}
          {may.change && <Button size="compact-sm" variant="subtle" color="gray" onClick={onEdit}>Edit</Button>}
        </Group>
      </Group>
      <Text size="sm" className="mono" lineClamp={3} title={joinWords(process.argv)}>{joinWords(process.argv)}</Text>
      <ProcessNotes vmid={vmid} process={process} mayRestart={may.power} />
      <ProcessConsole status={status} name={process.name} />
    </Stack>
  );
}

function ProcessConsole({ status, name }: { status: ContainerStatus; name: string }) {
  const { vmid, lifecycle, connection } = status;
  const isOff = isGuestOff(status);
  const source = useMemo(() => processSource(vmid, name), [vmid, name]);
  const mayUse = useMayStay("consoles:use", status.customerId);
  if (!mayUse) return <MayNot permission="consoles:use" customerId={status.customerId} />;
  if (isOff || lifecycle === "deleting" || lifecycle === "provisioning") {
    return <Alert color="gray" title="No console now">{isOff ? "The container is off. Start it to read what its processes have printed." : "The console opens while the container runs."}</Alert>;
  }
  return <ConsolePane key={name} source={source} label={`Console of ${name}`} connection={connection} onClose={null} />;
}

/** Ports of programs in the container that have a web address. */
import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useRef, useState } from "react";
import type { ContainerStatus, Exposure, ListeningPort } from "../api/types";
import { Problem } from "../layout/Problem";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { ExposureRow } from "./ExposureRow";
import classes from "./exposures.module.css";
import { ListeningRow } from "./ListeningRow";
import { PublishForm } from "./PublishForm";
import { useExposures } from "./queries";
import { WhileMay } from "../session/WhileMay";

/** Say why no port is listed. */
function describeSilence({ connection }: ContainerStatus): string {
  return connection === "online"
    ? "No program listens. Start one, and it appears here by itself."
    : "Nobody knows: the container's agent is not heard.";
}

export function PortsTab({ status }: { status: ContainerStatus }) {
  const query = useExposures(status.vmid);
  const mayChange = useRights(status).change;
  const exposures = query.data;
  const [editing, setEditing] = useState<Exposure | null>(null);
  const title = useRef<HTMLHeadingElement>(null);
  const [chosen, setChosen] = useState<ListeningPort | null>(null);
  return (
    <Stack gap="md">
      <WhileMay may={mayChange}>
        <PublishForm
          key={editing?.id ?? chosen?.port ?? "new"} vmid={status.vmid} published={exposures?.map((exposure) => exposure.port) ?? []} editing={editing} chosen={chosen}
          onDone={() => {
            // The form begins anew, and whatever had the focus in it is gone.
            if (editing ?? chosen) title.current?.focus();
            setEditing(null);
            setChosen(null);
          }}
        />
      </WhileMay>
      <MayNot permission="containers:change" customerId={status.customerId} />
      {query.error && <Problem error={query.error} title="The published ports cannot be listed" onRetry={() => void query.refetch()} />}
      <Paper>
        <Title order={2} mb="xs">Listening now</Title>
        {status.ports.length === 0 && <Text size="sm" c="dimmed">{describeSilence(status)}</Text>}
        {status.ports.length > 0 && (
          <Stack gap="sm" component="ul" m={0} p={0} aria-label="Listening ports" style={{ listStyle: "none" }}>
            {status.ports.map((listening) => (
              <ListeningRow
                key={listening.port} listening={listening} exposure={exposures?.find(({ port }) => port === listening.port) ?? null}
                mayChange={mayChange} onPublish={() => {
                  setEditing(null);
                  setChosen(listening);
                }}
              />
            ))}
          </Stack>
        )}
      </Paper>
      <Paper>
        <Title order={2} mb="xs" ref={title} tabIndex={-1} className={classes["title"] ?? ""}>Published ports</Title>
        {query.isPending && <Skeleton h={40} role="status" aria-label="Loading the ports" />}
        {exposures?.length === 0 && <Text size="sm" c="dimmed">None yet. Start a program that listens on a port, and publish that port here.</Text>}
        {exposures && exposures.length > 0 && (
          <ul className={classes["list"]} aria-label="Published ports">
            {exposures.map((exposure) => <ExposureRow key={exposure.id} vmid={status.vmid} exposure={exposure} mayChange={mayChange} onChange={() => {
              setChosen(null);
              setEditing(exposure);
            }} onRemoved={() => title.current?.focus()} />)}
          </ul>
        )}
      </Paper>
      <Text size="sm" c="dimmed">
        An address answers once a program listens on that port, on all addresses or on the one in the variable <code>HOST</code>. Where it is not for everybody, the browser is
        sent here to sign in and comes back by itself; your program sees who it is in the header <code>X-Zlh-User</code>. Who loses the right, or
        whose time is over, is disconnected within a second; others who are connected to the same port at that moment have to connect again.
      </Text>
    </Stack>
  );
}

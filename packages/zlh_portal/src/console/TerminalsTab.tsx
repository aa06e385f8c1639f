/** The terminals of a container side by side as tabs. */
import { ActionIcon, Alert, Button, Group, Stack } from "@mantine/core";
import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import type { ContainerStatus } from "../api/types";
import { CrossIcon, PlusIcon } from "../layout/icons";
import { MayNot } from "../session/MayNot";
import { useMayStay, useWhyNot } from "../session/session";
import { ConsolePane } from "./ConsolePane";
import classes from "./console.module.css";
import { MAIN, useCloseTerminal, useOpenTerminal, useTerminals } from "./queries";
import { terminalSource } from "./source";
import { tellProblem } from "../layout/tell";

const CHOSEN = "terminal";

export function TerminalsTab({ status }: { status: ContainerStatus }) {
  const mayUse = useMayStay("consoles:use", status.customerId);
  if (!mayUse) return <MayNot permission="consoles:use" customerId={status.customerId} />;
  if (status.lifecycle === "provisioning" || status.lifecycle === "stopped" || status.lifecycle === "deleting") {
    return (
      <Alert color="gray" title="No terminal now" data-testid="no-terminal">
        {status.lifecycle === "stopped" ? "The container is off. Start it to work in it." : status.lifecycle === "deleting" ? "The container is being deleted." : "A terminal opens as soon as the container has started."}
      </Alert>
    );
  }
  return <Terminals status={status} />;
}

function Terminals({ status }: { status: ContainerStatus }) {
  const { vmid, connection } = status;
  const whyNot = useWhyNot("consoles:use", status.customerId);
  const { data: terminals } = useTerminals(vmid, connection === "online" && whyNot === null);
  const open = useOpenTerminal(vmid);
  const close = useCloseTerminal(vmid);
  const [parameters, setParameters] = useSearchParams();
  // In the address, so that a reload comes back to the same one.
  const chosen = parameters.get(CHOSEN) ?? MAIN;
  const setChosen = (id: string) => setParameters(id === MAIN ? {} : { [CHOSEN]: id }, { replace: true });
  const [fresh, setFresh] = useState<string | null>(null);

  const known = terminals?.map((entry) => entry.id).filter((id) => id !== MAIN) ?? [];
  // The one just opened has its tab at once; the list says it a moment later.
  const ids = [MAIN, ...known, ...(fresh !== null && !known.includes(fresh) ? [fresh] : [])];
  const label = (id: string) => (id === MAIN ? "Main" : `Terminal ${ids.indexOf(id) + 1}`);
  const tell = tellProblem;

  const add = () =>
    open.mutate(undefined, {
      onSuccess: ({ id }) => {
        setFresh(id);
        setChosen(id);
      },
      onError: tell("No terminal was opened"),
    });
  const end = (id: string) =>
    close.mutate(id, {
      onSuccess: () => {
        setFresh((current) => (current === id ? null : current));
        setChosen(MAIN);
      },
      onError: tell("The terminal was not closed"),
    });

  const shown = ids.includes(chosen) ? chosen : MAIN;
  const source = useMemo(() => terminalSource(vmid, shown), [vmid, shown]);
  return (
    <Stack gap="xs">
      <Group gap={6} className={classes["tabs"] ?? ""} role="group" aria-label="Terminals">
        {ids.map((id) => (
          <Group key={id} gap={0} wrap="nowrap" flex="none">
            <Button size="compact-sm" variant={id === shown ? "light" : "subtle"} color={id === shown ? "indigo" : "gray"} aria-pressed={id === shown} onClick={() => setChosen(id)}>{label(id)}</Button>
            {id !== MAIN && whyNot === null && (
              <ActionIcon size="sm" variant="subtle" color="gray" aria-label={`Close ${label(id)}`} loading={close.isPending && close.variables === id} onClick={() => end(id)}><CrossIcon /></ActionIcon>
            )}
          </Group>
        ))}
        {whyNot === null && <Button size="compact-sm" variant="subtle" color="gray" flex="none" leftSection={<PlusIcon />} disabled={connection !== "online"} loading={open.isPending} onClick={add}>New terminal</Button>}
      </Group>
      <ConsolePane key={shown} source={source} label={label(shown)} connection={connection} onClose={shown === MAIN ? null : () => end(shown)} />
    </Stack>
  );
}

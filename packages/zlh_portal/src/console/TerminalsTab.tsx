/** The terminals of a container side by side as tabs, of a game container behind the console of its server. */
import { ActionIcon, Alert, Button, Group, Stack } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { asApiError } from "../api/problem";
import type { ContainerStatus } from "../api/types";
import { isGuestOff } from "../containers/states";
import { CrossIcon, PlusIcon } from "../layout/icons";
import { MayNot } from "../session/MayNot";
import { useMayStay, useWhyNot } from "../session/session";
import { ConsolePane } from "./ConsolePane";
import classes from "./console.module.css";
import { useCloseTerminal, useOpenTerminal, useTerminals } from "./queries";
import { serverSource, terminalSource } from "./source";
import { labelTab, listTabs, MAIN } from "./tabs";
import { tellProblem } from "../layout/tell";

const CHOSEN = "terminal";

export function TerminalsTab({ status }: { status: ContainerStatus }) {
  const mayUse = useMayStay("consoles:use", status.customerId);
  if (!mayUse) return <MayNot permission="consoles:use" customerId={status.customerId} />;
  if (status.lifecycle === "provisioning" || isGuestOff(status) || status.lifecycle === "deleting") {
    return (
      <Alert color="gray" title="No terminal now" data-testid="no-terminal">
        {status.lifecycle === "stopped" ? "The container is off. Start it to work in it." : status.lifecycle === "deleting" ? "The container is being deleted." : "A terminal opens as soon as the container has started."}
      </Alert>
    );
  }
  return <Terminals status={status} />;
}

function Terminals({ status }: { status: ContainerStatus }) {
  const { vmid, connection, kind } = status;
  const whyNot = useWhyNot("consoles:use", status.customerId);
  const { data: terminals } = useTerminals(vmid, connection === "online" && whyNot === null);
  const open = useOpenTerminal(vmid);
  const close = useCloseTerminal(vmid);
  const [parameters, setParameters] = useSearchParams();
  // In the address, so that a reload comes back to the same one.
  const chosen = parameters.get(CHOSEN) ?? MAIN;
  const setChosen = (id: string) => setParameters(id === MAIN ? {} : { [CHOSEN]: id }, { replace: true });
  // One that was there is shown until somebody puts it away, also when its shell has ended: its last words are on the screen.
  const [seen, setSeen] = useState(MAIN);
  const ids = listTabs(terminals?.map((entry) => entry.id), chosen, seen);
  const shown = ids.includes(chosen) ? chosen : MAIN;
  if (shown !== seen && terminals?.some(({ id }) => id === shown)) setSeen(shown);
  const label = (id: string) => labelTab(id, ids, kind);

  // What is on the screen by the time that an answer comes; nothing once the page is another one.
  const latest = useRef<string | null>(null);
  useEffect(() => {
    latest.current = shown;
    return () => void (latest.current = null);
  }, [shown]);
  const add = () =>
    open.mutate(undefined, {
      onSuccess: ({ id }) => {
        setSeen(id);
        setChosen(id);
      },
      onError: tellProblem("No terminal was opened"),
    });
  const leave = (id: string) => {
    if (latest.current === id) setChosen(MAIN);
  };
  const end = (id: string) =>
    close.mutateAsync(id).then(
      () => leave(id),
      // What is gone needs no closing.
      (error: unknown) => (asApiError(error).status === 404 ? leave(id) : tellProblem("The terminal was not closed")(error)),
    );

  return (
    <Stack gap="xs">
      <Group gap={6} className={classes["tabs"] ?? ""} role="group" aria-label="Terminals">
        {ids.map((id) => (
          <Group key={id} gap={0} wrap="nowrap" flex="none">
            <Button size="compact-sm" variant={id === shown ? "light" : "subtle"} color={id === shown ? "indigo" : "gray"} aria-pressed={id === shown} onClick={() => setChosen(id)}>{label(id)}</Button>
            {id !== MAIN && whyNot === null && (
              <ActionIcon size="sm" variant="subtle" color="gray" aria-label={`Close ${label(id)}`} loading={close.isPending && close.variables === id} onClick={() => void end(id)}><CrossIcon /></ActionIcon>
            )}
          </Group>
        ))}
        {whyNot === null && <Button size="compact-sm" variant="subtle" color="gray" flex="none" leftSection={<PlusIcon />} disabled={connection !== "online"} loading={open.isPending} onClick={add}>New terminal</Button>}
      </Group>
      <Shown key={shown} status={status} id={shown} label={label(shown)} onClose={shown === MAIN ? null : () => void end(shown)} />
    </Stack>
  );
}

function Shown({ status: { vmid, kind, connection }, id, ...pane }: { status: ContainerStatus; id: string; label: string; onClose: (() => void) | null }) {
  const isServer = kind === "game" && id === MAIN;
  const source = useMemo(() => (isServer ? serverSource(vmid) : terminalSource(vmid, id)), [vmid, isServer, id]);
  return <ConsolePane source={source} connection={connection} {...pane} />;
}

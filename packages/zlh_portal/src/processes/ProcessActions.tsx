/** What can be done with a process now; whatever cannot be taken back asks once more. */
import { Button, Group } from "@mantine/core";
import { useState } from "react";
import type { Process } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { useAct } from "./queries";
import { type Action, labelOf, offerActions } from "./states";
import { tellProblem } from "../layout/tell";

const FAILURES: Readonly<Record<Action, string>> = {
  start: "was not started", stop: "was not stopped", restart: "was not restarted", kill: "was not killed", retry: "is not tried again", "give-up": "was not given up",
};

const KILL = { variant: "subtle", color: "red", c: "red" };

export function ProcessActions({ vmid, process }: { vmid: number; process: Process }) {
  const act = useAct(vmid, process.name);
  const [isKilling, setKilling] = useState(false);
  const perform = (action: Action) =>
    act.mutate(action, {
      onError: tellProblem(`${process.name} ${FAILURES[action]}`),
      onSettled: () => setKilling(false),
    });
  return (
    <Group gap={6} role="group" aria-label={`Actions on ${process.name}`}>
      {offerActions(process).map((action, i) => (
        <Button
          key={action} size="compact-sm" {...(action === "kill" ? KILL : { variant: i === 0 ? "light" : "default" })}
          loading={act.isPending && act.variables === action} disabled={act.isPending && act.variables !== action}
          onClick={() => (action === "kill" ? setKilling(true) : perform(action))}
        >
          {labelOf(action, process.status)}
        </Button>
      ))}
      {isKilling && (
        <ConfirmModal
          title={`Kill ${process.name}?`} action="Kill now" isPending={act.isPending} onConfirm={() => perform("kill")} onClose={() => setKilling(false)}
          meaning="It and all that it has started end at once, without a chance to save anything. It stays down until somebody starts it."
        />
      )}
    </Group>
  );
}

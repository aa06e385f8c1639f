/** Start, stop and restart; only what makes sense now can be pressed. Kill, which loses work, asks once more first. */
import { Button, Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useRef } from "react";
import type { ContainerStatus } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { ConfirmModal } from "../layout/ConfirmModal";
import classes from "./containers.module.css";
import { type Power, usePower } from "./queries";
import { offerPower, whyNoPower } from "./states";
import { isFocusFree } from "../layout/focus";
import { isolate } from "../layout/words";
import { tellProblem } from "../layout/tell";

const LABELS: readonly [Power, string][] = [["start", "Start"], ["restart", "Restart"], ["stop", "Stop"]];

export function PowerButtons({ status, mayKill }: { status: ContainerStatus; mayKill: boolean }) {
  const [isAsking, { open, close }] = useDisclosure(false);
  const power = usePower(status.vmid);
  const group = useRef<HTMLDivElement>(null);
  const offers = offerPower(status);
  const act = (wish: Power) =>
    power.mutate(wish, {
      onSuccess: () => {
        close();
        // Start and Stop give way to one another once they have worked; who has pressed one stays where they are.
        const place = group.current;
        if (wish !== "kill" && (isFocusFree() || place?.contains(document.activeElement))) place?.focus({ preventScroll: true });
      },
      onError: tellProblem(`It did not ${wish}`),
    });
  const whyNot = whyNoPower(status);
  if (whyNot !== null && status.lifecycle === "stopped") return <ActionButton reason={whyNot} onClick={() => act("start")}>Start</ActionButton>;
  return (
    <Group ref={group} gap="xs" role="group" aria-label="Power" tabIndex={-1} className={classes["power"] ?? ""}>
      {LABELS.filter(([wish]) => wish === "restart" || offers[wish]).map(([wish, label]) => (
        <Button
          key={wish} variant="default" disabled={!offers[wish] || (power.isPending && power.variables !== wish)}
          loading={power.isPending && power.variables === wish} onClick={() => act(wish)}
        >
          {label}
        </Button>
      ))}
      {mayKill && offers.kill && <Button variant="light" color="red" onClick={open}>Kill</Button>}
      {isAsking && (
        <ConfirmModal
          title={`Kill ${isolate(status.name)}?`} action="Kill now" isPending={power.isPending} onConfirm={() => act("kill")} onClose={close}
          meaning="It is off at once: no program in it can save its work first. Its files stay as they are at that moment, and it stays off until somebody starts it."
        />
      )}
    </Group>
  );
}

/** Start, stop and restart; only what makes sense now can be pressed. */
import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { asApiError } from "../api/problem";
import type { ContainerStatus } from "../api/types";
import { type Power, usePower } from "./queries";
import { offerPower } from "./states";

const LABELS: readonly [Power, string][] = [["start", "Start"], ["restart", "Restart"], ["stop", "Stop"]];

export function PowerButtons({ status }: { status: ContainerStatus }) {
  const power = usePower(status.vmid);
  const offers = offerPower(status);
  const act = (wish: Power) =>
    power.mutate(wish, {
      onError: (error) => notifications.show({ color: "red", title: `It did not ${wish}`, message: asApiError(error).detail }),
    });
  return (
    <Group gap="xs">
      {LABELS.filter(([wish]) => wish === "restart" || offers[wish]).map(([wish, label]) => (
        <Button
          key={wish} variant="default" disabled={!offers[wish] || (power.isPending && power.variables !== wish)}
          loading={power.isPending && power.variables === wish} onClick={() => act(wish)}
        >
          {label}
        </Button>
      ))}
    </Group>
  );
}

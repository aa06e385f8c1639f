/** Offers the restart that takes what was changed; it stays until the server has been started anew. */
import { Alert, Button, Group, Text } from "@mantine/core";
import { useState } from "react";
import type { ContainerStatus } from "../api/types";
import { usePower } from "../containers/queries";
import { offerPower } from "../containers/states";
import { tellProblem } from "../layout/tell";
import { useRights } from "../session/session";
import { isStartedAnew, startOf } from "./words";

export function RestartDue({ status, why }: { status: ContainerStatus; why: string }) {
  const power = usePower(status.vmid);
  const start = startOf(status);
  // The start that a restart was asked for in: until there is another one, it is on its way.
  const [asked, setAsked] = useState<{ in: string | null } | null>(null);
  const isOnItsWay = asked !== null && !isStartedAnew(asked.in, start);
  const mayRestart = useRights(status).power;
  if (!offerPower(status).restart) return null;
  const restart = () => power.mutate("restart", { onSuccess: () => setAsked({ in: start }), onError: tellProblem("It was not restarted") });
  return (
    <Alert color="indigo" p="sm" data-testid="restart-offer">
      <Group justify="space-between" gap="xs">
        <Text size="sm">{why} A restart takes the changes, and disconnects its players.</Text>
        {mayRestart && <Button size="compact-sm" loading={power.isPending || isOnItsWay} onClick={restart}>Restart now</Button>}
      </Group>
    </Alert>
  );
}

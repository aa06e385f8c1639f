/** Says on the row of a container that one of its processes is down and nobody wanted that. */
import { Text, Tooltip } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { Name } from "../layout/Name";
import { describeState, findTroubled } from "./states";

export function ProcessTrouble({ status }: { status: ContainerStatus }) {
  const troubled = status.connection === "online" ? findTroubled(status.processes) : [];
  const worst = troubled.find(({ state }) => state === "error") ?? troubled[0];
  if (!worst) return null;
  const { label, tone, meaning } = describeState({ power: "on", status: worst });
  const others = troubled.length > 1 ? ` and ${troubled.length - 1} more` : "";
  return (
    <Tooltip label={<Name text={worst.reason?.message ?? meaning} />}>
      <Text size="xs" mt={4} c={tone === "bad" ? "red" : "orange.8"} lineClamp={2} tabIndex={0} style={{ overflowWrap: "anywhere" }} data-testid="process-trouble">
        <Name text={worst.name} />{others}: {label.toLowerCase()}
      </Text>
    </Tooltip>
  );
}

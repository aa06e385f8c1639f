/** Says on the row of a container that one of its processes is down and nobody wanted that. */
import type { ContainerStatus } from "../api/types";
import { ToneBadge } from "../layout/ToneBadge";
import { describeState, findTroubled } from "./states";

export function ProcessTrouble({ status }: { status: ContainerStatus }) {
  const troubled = status.connection === "online" ? findTroubled(status.processes) : [];
  const worst = troubled.find(({ state }) => state === "error") ?? troubled[0];
  if (!worst) return null;
  const { label, tone, meaning } = describeState({ power: "on", status: worst });
  const others = troubled.length > 1 ? ` and ${troubled.length - 1} more` : "";
  return (
    <div style={{ marginTop: 4 }}>
      <ToneBadge testId="process-trouble" words={{ label: `${worst.name}${others}: ${label.toLowerCase()}`, tone, meaning: worst.reason?.message ?? meaning }} />
    </div>
  );
}

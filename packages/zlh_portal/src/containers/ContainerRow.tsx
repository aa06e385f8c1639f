/** One container in the list. */
import { Text } from "@mantine/core";
import { Link } from "react-router";
import type { ContainerStatus } from "../api/types";
import { AddressLink } from "../layout/AddressLink";
import { Name } from "../layout/Name";
import { TimeAgo } from "../layout/TimeAgo";
import { sayBriefly } from "../layout/words";
import { ProcessTrouble } from "../processes/ProcessTrouble";
import classes from "./containers.module.css";
import { StateBadge } from "./StateBadge";
import { addressOf, describeRuntimes } from "./states";
import { summarize } from "./timeline";

export function ContainerRow({ status, customer }: { status: ContainerStatus; customer: string | null }) {
  const { settled, total, current } = summarize(status.steps);
  const { address, isOpen } = addressOf(status);
  const isUnderWay = !status.provisioningComplete && current !== null;
  return (
    <div className={classes["row"]} data-testid={`container-${status.vmid}`}>
      <div>
        <Link to={`/containers/${status.vmid}`} className={classes["name"]}><Name text={status.name} /></Link>
        <Text size="xs" c="dimmed" className="numbers">{status.kind} · {status.vmid}{customer !== null && <> · <Name text={customer} /></>}</Text>
      </div>
      <div className={classes["above"]}>
        <StateBadge status={status} />
        <ProcessTrouble status={status} />
      </div>
      <Text size="sm" truncate>{describeRuntimes(status) || "–"}</Text>
      <div className={classes["above"]}>
        {isUnderWay ? (
          <Text size="xs" c="dimmed" className="numbers" truncate><Name text={current} />, {settled} of {total}</Text>
        ) : status.provisioningError ? (
          <Text size="xs" c="red" lineClamp={2}><bdi>{sayBriefly(status.provisioningError.message)}</bdi></Text>
        ) : (
          <AddressLink address={address} canCopy={isOpen} />
        )}
      </div>
      <Text size="xs" c="dimmed" className={classes["above"] ?? ""} component="div"><TimeAgo time={status.createdAt} /></Text>
    </div>
  );
}

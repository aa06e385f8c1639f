/** The processes of a container in short, each with the way to its page. */
import { Anchor, Group, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import type { ContainerStatus, ProcessStatus } from "../api/types";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { useRights } from "../session/session";
import { describeEnd, describeState, pageOf } from "./states";
import { Name } from "../layout/Name";

export function ProcessList({ status }: { status: ContainerStatus }) {
  const tab = `/containers/${status.vmid}/processes`;
  const may = useRights(status);
  if (status.processes.length === 0) {
    if (!may.change) return <Text size="sm" c="dimmed">None is reported.</Text>;
    return <Text size="sm" c="dimmed">None is reported. <Anchor component={Link} to={tab} size="sm" underline="always">Add one</Anchor> to have a program always run.</Text>;
  }
  return (
    <Stack gap={8} component="ul" m={0} p={0} aria-label="Processes" style={{ listStyle: "none" }}>
      {status.processes.map((process) => <Row key={process.name} to={pageOf(process, status)} process={process} />)}
    </Stack>
  );
}

function Row({ to, process }: { to: string; process: ProcessStatus }) {
  // What is wished is not in this report; what is seen has the last word here.
  const words = describeState({ power: process.state === "stopped" ? "off" : "on", status: process });
  return (
    <Group component="li" justify="space-between" gap="xs">
      <Group gap="xs" miw={0}>
        <Anchor component={Link} to={to} size="sm" fw={600} c="inherit" lineClamp={2} style={{ overflowWrap: "anywhere" }}><Name text={process.name} /></Anchor>
        <ToneBadge words={words} testId={`overview-${process.name}`} />
      </Group>
      <Text size="xs" c="dimmed" component="div">
        {process.pid !== null && process.startedAt ? <>started <TimeAgo time={process.startedAt} /></> : describeEnd(process)}
      </Text>
    </Group>
  );
}

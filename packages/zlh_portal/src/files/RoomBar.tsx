/** How full the disk of a root is. */
import { Alert, Progress, Text, Tooltip } from "@mantine/core";
import type { DiskRoom } from "../api/types";
import { COLOUR_OF } from "../layout/tone";
import classes from "./files.module.css";
import { describeRoom } from "./room";

// A bar that says nothing special is one all the same.
const COLOURS = { ...COLOUR_OF, quiet: "indigo" };

export function RoomBar({ room }: { room: DiskRoom }) {
  const { percent, tone, words } = describeRoom(room);
  return (
    <Tooltip label={`${percent} % of the disk is used.`}>
      <div className={classes["room"]} data-testid="room" data-tone={tone} tabIndex={0}>
        <Progress value={percent} size="sm" color={COLOURS[tone]} aria-label={`Disk: ${percent} % used`} />
        <Text size="xs" c="dimmed" mt={4} className="numbers" truncate>{words}</Text>
      </div>
    </Tooltip>
  );
}

/** Where room is short, it says so before something fails. */
export function RoomWarning({ room }: { room: DiskRoom }) {
  const { tone, warning } = describeRoom(room);
  return warning === null ? null : <Alert color={COLOURS[tone]} py="xs" data-testid="room-warning">{warning}</Alert>;
}

/** A moment in words, with the exact time at hand. */
import { Tooltip } from "@mantine/core";
import { useServerNow } from "./clock";
import { formatAgo } from "./words";

export function TimeAgo({ time }: { time: string | null }) {
  const now = useServerNow(true, 15_000);
  const then = time === null ? NaN : Date.parse(time);
  if (time === null || Number.isNaN(then)) return <span>–</span>;
  return (
    <Tooltip label={new Date(then).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}>
      <time dateTime={time}>{formatAgo(then, now)}</time>
    </Tooltip>
  );
}

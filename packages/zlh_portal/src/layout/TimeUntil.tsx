/** A moment that is to come, in words, with the exact time at hand. */
import { Tooltip } from "@mantine/core";
import { useServerNow } from "./clock";
import { formatUntil } from "./words";

export function TimeUntil({ time, ended = "over" }: { time: string; ended?: string }) {
  const now = useServerNow(true, 15_000);
  const then = Date.parse(time);
  if (Number.isNaN(then)) return <span>–</span>;
  const words = formatUntil(then, now);
  return (
    <Tooltip label={new Date(then).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}>
      <time dateTime={time}>{words === "over" ? ended : words}</time>
    </Tooltip>
  );
}

/** The server's time as the browser knows it: durations tick against the clock that wrote the start. */
import { useEffect, useState } from "react";

// The Date header has whole seconds; below this the two clocks count as one.
const TOLERANCE_MS = 2_500;
let skewMs = 0;

/** Take the Date header of an answer. */
export function noteServerDate(header: string | null, nowMs: number): void {
  const serverMs = header ? Date.parse(header) : NaN;
  if (Number.isNaN(serverMs)) return;
  const difference = serverMs - nowMs;
  skewMs = Math.abs(difference) > TOLERANCE_MS ? difference : 0;
}

/** Return the server's time in milliseconds at this moment. */
export function serverNow(): number {
  return Date.now() + skewMs;
}

/** Return the server's time in milliseconds, ticking while `isTicking`. */
export function useServerNow(isTicking: boolean, everyMs = 1_000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!isTicking) return;
    const tick = () => setNow(serverNow());
    tick();
    const timer = setInterval(tick, everyMs);
    return () => clearInterval(timer);
  }, [isTicking, everyMs]);
  return now;
}

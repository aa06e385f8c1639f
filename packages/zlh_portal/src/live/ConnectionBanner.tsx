/** Says honestly how old the page is once nothing reaches it any more. */
import { useStanding } from "../api/standing";
import { LiveRegion } from "../layout/LiveRegion";
import classes from "./live.module.css";
import { useLiveness } from "./liveness";

export function ConnectionBanner() {
  const isLive = useLiveness() === "live";
  const failures = useStanding((standing) => standing.failures);
  const answeredAtMs = useStanding((standing) => standing.answeredAtMs);
  // One call that comes to nothing while changes flow says nothing about the rest.
  const isLost = failures >= (isLive ? 2 : 1) && answeredAtMs !== null;
  const time = new Date(answeredAtMs ?? 0).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return (
    <LiveRegion className={classes["banner"] ?? ""}>
      {isLost && <span data-testid="connection-lost">Connection lost, showing the state of <span className="numbers">{time}</span>. Trying again…</span>}
    </LiveRegion>
  );
}

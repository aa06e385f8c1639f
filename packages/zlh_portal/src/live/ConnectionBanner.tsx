/** Says honestly how old the page is once nothing reaches it any more. */
import { asApiError, UNREACHABLE } from "../api/problem";
import classes from "./live.module.css";
import { useLiveness } from "./liveness";

interface Props {
  query: { failureCount: number; failureReason: unknown; error: unknown; dataUpdatedAt: number };
}

export function ConnectionBanner({ query }: Props) {
  const isLive = useLiveness() === "live";
  const reason = query.failureReason ?? query.error;
  const { code, status } = asApiError(reason);
  const isCutOff = reason !== null && (code === UNREACHABLE || status >= 500);
  if (isLive || !isCutOff || query.dataUpdatedAt === 0) return null;
  const time = new Date(query.dataUpdatedAt).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return (
    <div className={classes["banner"]} role="status" data-testid="connection-lost">
      Connection lost, showing the state of <span className="numbers">{time}</span>. Trying again…
    </div>
  );
}

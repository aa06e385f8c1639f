/** Feeds the live stream into the cache, and tells whether it flows. */
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { ME } from "../api/query";
import { probeDelayMs, useStanding } from "../api/standing";
import { checkVersion } from "../api/version";
import { onWake } from "../api/wake";
import { noteContainer, noteDeleted } from "../containers/queries";
import { noteEntry } from "../history/queries";
import { ROLLOUTS } from "../platform/keys";
import { type Liveness, LiveContext } from "./liveness";
import { OF_ALL, OF_CATALOG } from "./stale";
import { listen } from "./stream";

const HEAL_PAUSE_MS = 10_000;

export function LiveProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [liveness, setLiveness] = useState<Liveness>("connecting");
  const hasEnded = useStanding((standing) => standing.hasEnded);
  useEffect(
    () => {
      // It would be refused for as long as nobody is signed in.
      if (hasEnded) return undefined;
      const askAnew = (keys: readonly QueryKey[]) => keys.forEach((queryKey) => void queries.invalidateQueries({ queryKey }));
      return listen({
        onOpen: () => {
          setLiveness("live");
          // An API that was away may have come back as another version, and with another portal.
          void checkVersion();
          askAnew(OF_ALL);
        },
        onLost: () => {
          setLiveness("polling");
          // It is closed as well when a right or the session is gone.
          void queries.invalidateQueries({ queryKey: ME });
        },
        onContainer: (status) => noteContainer(queries, status),
        onDeleted: (vmid) => noteDeleted(queries, vmid),
        onEntry: (vmid, entry) => noteEntry(queries, vmid, entry),
        onRollout: () => void queries.invalidateQueries({ queryKey: ROLLOUTS }),
        onCatalog: () => askAnew(OF_CATALOG),
        // What one may see is more or less than before: lists have other rows, pages and buttons come and go.
        onRights: () => void queries.invalidateQueries(),
      });
    },
    [queries, hasEnded],
  );
  useHealing();
  return <LiveContext value={liveness}>{children}</LiveContext>;
}

/** Once the API is reached again, or the machine has slept, everything that is shown is asked for anew. */
function useHealing(): void {
  const queries = useQueryClient();
  const failures = useStanding((standing) => standing.failures);
  const isCutOff = failures > 0;
  useEffect(() => {
    if (failures === 0) return undefined;
    const timer = setTimeout(() => void queries.refetchQueries({ queryKey: ME }), probeDelayMs(failures));
    return () => clearTimeout(timer);
  }, [queries, failures]);
  const healedAtMs = useRef(-Infinity);
  useEffect(() => {
    if (!isCutOff) return undefined;
    return () => {
      const nowMs = performance.now();
      // Where one address alone leads nowhere, each answer from another would have all of it asked for once more, without end.
      if (nowMs - healedAtMs.current < HEAL_PAUSE_MS) return;
      healedAtMs.current = nowMs;
      void queries.invalidateQueries();
    };
  }, [queries, isCutOff]);
  useEffect(() => onWake(() => void queries.invalidateQueries()), [queries]);
}

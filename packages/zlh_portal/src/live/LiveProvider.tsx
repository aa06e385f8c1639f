/** Feeds the live stream into the cache, and tells whether it flows. */
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { ME } from "../api/query";
import { CATALOG } from "../catalog/queries";
import { LIST, noteContainer, noteDeleted } from "../containers/queries";
import { CUSTOMER } from "../customers/queries";
import { HISTORY, noteEntry } from "../history/queries";
import { ROLLOUTS } from "../platform/agentKeys";
import { RUNTIMES } from "../runtimes/queries";
import { type Liveness, LiveContext } from "./liveness";
import { listen } from "./stream";

export function LiveProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [liveness, setLiveness] = useState<Liveness>("connecting");
  useEffect(
    () =>
      listen({
        onOpen: () => {
          setLiveness("live");
          void queries.invalidateQueries({ queryKey: ME });
          void queries.invalidateQueries({ queryKey: CUSTOMER });
          // The stream tells changes alone; what happened before it opened has to be asked for.
          void queries.invalidateQueries({ queryKey: LIST });
          void queries.invalidateQueries({ queryKey: ["container"] });
          void queries.invalidateQueries({ queryKey: HISTORY });
          void queries.invalidateQueries({ queryKey: CATALOG });
          void queries.invalidateQueries({ queryKey: RUNTIMES });
          void queries.invalidateQueries({ queryKey: ROLLOUTS });
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
        onCatalog: () => {
          void queries.invalidateQueries({ queryKey: CATALOG });
          // Where an upgrade leads is another version now.
          void queries.invalidateQueries({ queryKey: RUNTIMES });
        },
      }),
    [queries],
  );
  return <LiveContext value={liveness}>{children}</LiveContext>;
}

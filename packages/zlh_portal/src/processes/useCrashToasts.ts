/** Tells whoever looks at a container that one of its processes has just crashed. */
import { notifications } from "@mantine/notifications";
import { useEffect, useRef } from "react";
import type { ContainerStatus } from "../api/types";
import { findCrashed, tellCrash } from "./states";

// The words are the agent's, and an agent may be anybody's: they neither fill the window nor come by the hundred.
const MOST = 3;

export function useCrashToasts(status: ContainerStatus | undefined): void {
  const before = useRef<ContainerStatus | undefined>(undefined);
  useEffect(() => {
    const crashed = status && before.current ? findCrashed(before.current.processes, status.processes) : [];
    before.current = status;
    for (const process of crashed.slice(0, MOST)) {
      // One toast for each process: a loop of crashes does not bury the page.
      const id = `crash-${process.name}`;
      notifications.hide(id);
      notifications.show({ id, color: "red", ...tellCrash(process) });
    }
  }, [status]);
}

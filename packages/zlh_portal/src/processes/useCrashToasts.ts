/** Tells whoever looks at a container that one of its processes has just crashed. */
import { notifications } from "@mantine/notifications";
import { useEffect, useRef } from "react";
import type { ContainerStatus } from "../api/types";
import { describeEnd, findCrashed } from "./states";

// The words are the agent's, and an agent may be anybody's: they neither fill the window nor come by the hundred.
const MOST = 3;
const MOST_CHARS = 200;

export function useCrashToasts(status: ContainerStatus | undefined): void {
  const before = useRef<ContainerStatus | undefined>(undefined);
  useEffect(() => {
    const crashed = status && before.current ? findCrashed(before.current.processes, status.processes) : [];
    before.current = status;
    for (const process of crashed.slice(0, MOST)) {
      // One toast for each process: a loop of crashes does not bury the page.
      const id = `crash-${process.name}`;
      notifications.hide(id);
      const message = process.reason?.message ?? describeEnd(process) ?? "It ended by itself.";
      notifications.show({ id, color: "red", title: `${process.name.slice(0, MOST_CHARS)} has crashed`, message: message.slice(0, MOST_CHARS) });
    }
  }, [status]);
}

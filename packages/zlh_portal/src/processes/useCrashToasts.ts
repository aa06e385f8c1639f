/** Tells whoever looks at a container that one of its processes has just crashed. */
import { notifications } from "@mantine/notifications";
import { useEffect, useRef } from "react";
import type { ContainerStatus } from "../api/types";
import { describeEnd, findCrashed } from "./states";

export function useCrashToasts(status: ContainerStatus | undefined): void {
  const before = useRef<ContainerStatus | undefined>(undefined);
  useEffect(() => {
    const crashed = status && before.current ? findCrashed(before.current.processes, status.processes) : [];
    before.current = status;
    for (const process of crashed) {
      // One toast for each process: a loop of crashes does not bury the page.
      const id = `crash-${process.name}`;
      notifications.hide(id);
      notifications.show({ id, color: "red", title: `${process.name} has crashed`, message: process.reason?.message ?? describeEnd(process) ?? "It ended by itself." });
    }
  }, [status]);
}

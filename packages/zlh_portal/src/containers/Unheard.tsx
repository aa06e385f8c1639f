/** Says that the agent of a container is not heard: nobody should take an old state for the present one. */
import { Alert } from "@mantine/core";
import type { ContainerStatus } from "../api/types";
import { isGuestOff } from "./states";

interface Props {
  status: Pick<ContainerStatus, "lifecycle" | "connection">;
  /** What follows where the container is off, a sentence. */
  off: string;
  /** What follows from the silence, the rest of a sentence. */
  silent: string;
}

export function Unheard({ status, off, silent }: Props) {
  if (status.connection === "online") return null;
  return <Alert color="gray" p="sm" data-testid="unheard">{isGuestOff(status) ? `The container is off. ${off}` : `The agent of this container is not heard now, ${silent}`}</Alert>;
}

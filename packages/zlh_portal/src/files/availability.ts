/** Why the files of a container cannot be shown now; pure. */
import type { ContainerStatus } from "../api/types";

export interface Absence {
  title: string;
  reason: string;
  /** Whether starting the container would help. */
  mayStart: boolean;
}

/** Return why nobody can look at files at this moment; null where one can try. */
export function findAbsence({ lifecycle, connection, power }: Pick<ContainerStatus, "lifecycle" | "connection" | "power">): Absence | null {
  if (lifecycle === "deleting") return { title: "The container is being deleted", reason: "Its files go with it.", mayStart: false };
  if (lifecycle === "stopped" || lifecycle === "stopping") {
    return { title: "The container is stopped", reason: "Its files are kept, and can be seen and changed while it runs.", mayStart: power === "off" };
  }
  if (connection === "online") return null;
  if (lifecycle === "provisioning" || lifecycle === "starting" || lifecycle === "installing") {
    return { title: "Not there yet", reason: "Files can be seen as soon as the agent inside the container answers.", mayStart: false };
  }
  return { title: "The agent does not answer", reason: "What runs in the container goes on; its files show up again by themselves once the agent is back.", mayStart: false };
}

const ADVICE: Readonly<Record<string, string>> = {
  agent_too_old: "The agent of this container is of an earlier version and knows no files; a restart of the container brings the next one.",
  files_not_safe: "The kernel below this container lacks what work on files needs to be safe, so there is none.",
};

/** Return a sentence for a refusal of all work on files, beside the API's own; null where that says it all. */
export function adviseOn(code: string): string | null {
  return Object.hasOwn(ADVICE, code) ? (ADVICE[code] ?? null) : null;
}

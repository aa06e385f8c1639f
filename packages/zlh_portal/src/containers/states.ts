/** The two axes of a container in words that people understand; pure. */
import type { Connection, ContainerStatus, Lifecycle } from "../api/types";
import type { Words } from "../layout/tone";
import { isolateOdd, shortenName, isolate } from "../layout/words";
import { findResize, parseRuntimeStep } from "./stepNames";

// Letters of a name and a version together; one that is longer is no runtime of the catalog.
const MOST_RUNTIME = 60;

const LIFECYCLE: Readonly<Record<Lifecycle, Words>> = {
  provisioning: { label: "Setting up", tone: "busy", meaning: "The container is being made." },
  installing: { label: "Installing", tone: "busy", meaning: "Runtimes are being installed inside the container." },
  starting: { label: "Starting", tone: "busy", meaning: "The container is booting; its agent has not answered yet." },
  running: { label: "Running", tone: "good", meaning: "The container is up." },
  stopping: { label: "Stopping", tone: "busy", meaning: "The container is shutting down." },
  stopped: { label: "Stopped", tone: "quiet", meaning: "The container is switched off. Its files are kept." },
  backoff: { label: "Waiting to restart", tone: "warn", meaning: "It ended by itself and is started again after a pause." },
  error: { label: "Needs attention", tone: "bad", meaning: "A step has failed and will not mend itself soon." },
  deleting: { label: "Deleting", tone: "warn", meaning: "The container and everything in it are being removed." },
};

const CONNECTION: Readonly<Record<Connection, Words>> = {
  online: { label: "Connected", tone: "good", meaning: "The platform hears the agent inside the container." },
  connecting: { label: "Connecting", tone: "busy", meaning: "The platform is calling the agent inside the container." },
  offline: { label: "Not reachable", tone: "bad", meaning: "The agent inside the container does not answer." },
};

const SUSPENDED: Words = { label: "Suspended", tone: "warn", meaning: "The container is off for as long as its customer is suspended. Its files are kept." };

const NOT_YET: Words = { label: "Not yet", tone: "quiet", meaning: "The agent is called once the container has started." };

const DEGRADED: Readonly<Record<string, string>> = {
  agent_offline:
    "The container runs, but its agent does not answer. Your programs go on; terminals and changes wait until it is back.",
  agent_newer: "The agent in this container is newer than the platform. All that both know works; what only the agent knows is not shown until the platform is updated too.",
  runtime_unverified: "Files of an installed runtime are not what was installed. Verify and repair it under Runtimes.",
  step_failed: "A step that the container itself does not wait for has failed; everything else goes on. Overview says which one, why, and what can be done; Runtimes does for runtimes.",
  shells_differ: "Not every kind of shell finds the same commands and variables. Runtimes says which, and what is in the way.",
  agent_redirects: "The agent in this container tried to send the platform elsewhere, which no agent of ours does. Distrust what runs in it; this is shown until its next start.",
  agent_identity_unknown: "What answers at this container's address shows a key that its agent was not given, or has no more. It is not spoken to; a restart gives the agent another key.",
  identity_not_renewed: "The container's identity runs out within weeks and could not be renewed; it is tried again. A restart renews it as well.",
  ports_pending: "Not every port of the game server has a public one; those that it had go on. The step that reserves ports says why.",
  server_down: "The game server has ended, or does not start. Its console says why.",
  server_not_answering: "The game server runs and does not answer. It may hang; its console may say why.",
  records_pending: "A DNS provider does not have all names of this container yet; those that it had go on. The step that writes them into DNS says why.",
  route_not_loaded: "The proxy does not use the route to this container, so its addresses open nowhere; what runs in it goes on. The route is written again by itself, and Overview shows how far the way to it holds.",
  name_not_answering: "The public name does not lead to this container, though it did; what runs in it goes on. Overview shows which link of the way is broken; if it stays like this, an operator must look.",
  records_not_answered: "A DNS provider does not answer with this container's address, so its name may open nowhere. The records are written again by itself; Overview names the provider.",
  connections_open: "A port was taken back from somebody, and connections to it could not be ended. It is tried again; restart the program that has them to be sure.",
  addon_agent_old: "The agent of this container is of an earlier version and knows no addons; the editor comes with its next version.",
  addon_not_open: "The editor in the browser does not open now; everything else goes on. Addons says why.",
  resize_pending: "The host has not accepted the size that was asked for; the one before still holds, and everything goes on. Settings says why.",
};

/** Return the lifecycle in words. A running container whose chain is not proved says so. */
export function describeLifecycle(status: Pick<ContainerStatus, "lifecycle" | "ready"> & { degraded?: readonly string[]; suspended?: boolean }): Words {
  if (status.lifecycle === "stopped" && status.suspended) return SUSPENDED;
  if (status.lifecycle === "running" && isWayBroken(status.degraded ?? [])) {
    return { label: "Running", tone: "warn", meaning: "The container is up, but its public name does not lead to it any more." };
  }
  if (status.lifecycle === "running" && !status.ready) {
    return { label: "Running", tone: "warn", meaning: "The container is up, but not everything on the way to it is proved yet." };
  }
  return LIFECYCLE[status.lifecycle];
}

const WAY = new Set(["route_not_loaded", "name_not_answering", "records_not_answered"]);

/** Tell whether the way from its public name to a container is broken, though it held once. */
export function isWayBroken(degraded: readonly string[]): boolean {
  return degraded.some((reason) => WAY.has(reason));
}

/** Return the connection in words. Silence of something that is off is nothing bad. */
export function describeConnection(status: Pick<ContainerStatus, "lifecycle" | "connection" | "observedAt">): Words {
  if (status.connection === "online") return CONNECTION.online;
  switch (status.lifecycle) {
    case "stopped":
    case "stopping":
    case "deleting":
      return { label: "Off", tone: "quiet", meaning: "There is nothing to connect to while the container is off." };
    case "provisioning":
      return NOT_YET;
    default:
      return status.connection === "connecting" && status.observedAt === null ? NOT_YET : CONNECTION[status.connection];
  }
}

/** Say why a page has nothing to show any more, by how the container was when it was last seen. */
export function sayGone({ name, lifecycle }: Pick<ContainerStatus, "name" | "lifecycle">): string {
  const what = isolateOdd(name);
  return lifecycle === "deleting" ? `${what} is deleted.` : `${what} is gone: it was deleted, or you may not see it any more.`;
}

/** Return a sentence for a reason of `degraded`. */
export function describeDegradation(reason: string): string {
  return DEGRADED[reason] ?? reason.replaceAll("_", " ");
}

/** Return what people have to know of; a resize that is under way and has not failed is no trouble. */
export function findTroubles({ degraded, steps }: Pick<ContainerStatus, "degraded" | "steps">): string[] {
  return degraded.filter((reason) => reason !== "resize_pending" || Boolean(findResize(steps)?.code));
}

/** Tell whether something is under way that a watcher wants to see soon. */
export function isMoving(status: ContainerStatus): boolean {
  return status.lifecycle !== "running" && status.lifecycle !== "stopped" ? true : status.connection === "connecting";
}

/** Tell whether the guest itself is off; that of a game server whose server was stopped stays up. */
export function isGuestOff(status: Pick<ContainerStatus, "lifecycle" | "connection">): boolean {
  return status.lifecycle === "stopped" && status.connection !== "online";
}

export interface PowerOffers {
  start: boolean;
  stop: boolean;
  restart: boolean;
  kill: boolean;
}

/** Return which power buttons make sense now. */
export function offerPower(status: ContainerStatus): PowerOffers {
  if (status.lifecycle === "deleting") return { start: false, stop: false, restart: false, kill: false };
  const isOn = status.power === "on";
  return { start: !isOn, stop: isOn, restart: isOn && status.lifecycle !== "provisioning", kill: isOn || status.lifecycle === "stopping" };
}

/** Return why no power button does anything now; null where they do. */
export function whyNoPower({ suspended }: Pick<ContainerStatus, "suspended">): string | null {
  return suspended ? "Its customer is suspended: it stays off until an operator resumes the customer." : null;
}

/** Return where a container is reached: by players, or by browsers. */
export function addressOf({ game, url, hostname }: Pick<ContainerStatus, "game" | "url" | "hostname">): { address: string; isOpen: boolean } {
  if (game?.address) return { address: game.address, isOpen: true };
  return { address: url ?? hostname, isOpen: url !== null };
}

/** What runs in there, in short: "node 24.19.0, go 1.27.3 and 2 more". */
export function describeRuntimes(status: ContainerStatus): string {
  const { runtimes } = status;
  const defaults = runtimes.filter((entry) => entry.default);
  const others = runtimes.length - defaults.length;
  const named = defaults.map((entry) => isolateOdd(shortenName(`${entry.name} ${entry.version}`, MOST_RUNTIME))).join(", ");
  if (named) return others > 0 ? `${named} and ${others} more` : named;
  const pending = status.steps.flatMap(({ name }) => {
    const step = parseRuntimeStep(name);
    return step?.kind === "install" ? [[step.runtime, step.version].filter(Boolean).join(" ")] : [];
  });
  return pending.join(", ");
}

/** Why an agent stays at its version, to follow that; nothing where operators can bring it to another, nor for whoever is none. */
export function tellFixed({ canBeUpdated, fixedBecause }: NonNullable<ContainerStatus["agent"]>, isOperator: boolean): string {
  if (canBeUpdated || !isOperator) return "";
  if (fixedBecause === null) return ", too old to be brought to another while it runs: restart the container from a newer template";
  return `, and stays so: ${isolate(fixedBecause)}`;
}

/** The one place that knows what steps are called: their titles, and what their names tell; pure. */
import type { Step } from "../api/types";
import { capitalize } from "../layout/words";

const TITLES: Readonly<Record<string, string>> = {
  observe: "Look at the container",
  "reserve-address": "Reserve an address",
  "reserve-ports": "Reserve ports for players",
  "create-guest": "Create the container",
  "close-network": "Close its network",
  "resize-guest": "Set its limits",
  "put-identity": "Put in its identity",
  "renew-identity": "Renew its identity",
  "start-guest": "Start the container",
  "connect-agent": "Connect to its agent",
  "send-spec": "Tell it what to install",
  "prepare-workspace": "Make the workspace",
  "allow-sudo": "Allow sudo",
  "clone-repository": "Clone the repository",
  "run-start-script": "Run the start script",
  "publish-route": "Publish the route",
  "confirm-route": "See the proxy use the route",
  "run-code-server": "Start the editor",
  "open-code-server": "See the editor open",
  "run-server": "Start the game server",
  "publish-records": "Write its names into DNS",
  "answer-dns": "See the name in DNS",
  "check-ready": "Open it from outside",
  "withdraw-route": "Withdraw the route",
  "stop-guest": "Stop the container",
  "destroy-guest": "Destroy the container",
  "withdraw-records": "Take its names out of DNS",
  "release-address": "Release the address",
  forget: "Forget it",
};

/** Every step that the platform itself takes, by its title. */
export const PLATFORM_STEPS: readonly { value: string; label: string }[] = Object.entries(TITLES)
  .filter(([name]) => !["prepare-workspace", "allow-sudo", "clone-repository", "run-start-script"].includes(name))
  .map(([value, label]) => ({ value, label }));

/** What an agent does for one runtime, as the name of its step tells. */
export interface RuntimeStep {
  kind: "install" | "remove";
  runtime: string;
  /** Null where the step is that of the default, whichever version it is. */
  version: string | null;
}

/** Return which runtime a step is about, or null where it is about none. */
export function parseRuntimeStep(name: string): RuntimeStep | null {
  const found = /^(install|remove)-(.+?)(?:-(\d[^-].*|\d))?$/.exec(name);
  if (!found?.[2]) return null;
  return { kind: found[1] === "install" ? "install" : "remove", runtime: found[2], version: found[3] ?? null };
}

/** Return the title of a step, also of one that this version has never heard of. */
export function titleOf(name: string): string {
  const known = Object.hasOwn(TITLES, name) ? TITLES[name] : undefined;
  if (known) return known;
  const runtime = parseRuntimeStep(name);
  if (runtime) return [runtime.kind === "install" ? "Install" : "Remove", runtime.runtime, runtime.version].filter(Boolean).join(" ");
  // A version of a game server: its name is one, dashes and all.
  const game = /^install (\S+) (\S+)$/.exec(name);
  if (game) return `Install ${game[1]} ${game[2]}`;
  const words = name.replaceAll(/[-_]+/g, " ").trim();
  return words ? capitalize(words) : "Unnamed step";
}

/** Tell whether a step installs something. */
export function isInstall(name: string): boolean {
  return parseRuntimeStep(name)?.kind === "install";
}

/** Tell whether a step takes a version away. */
export function isRemoval(name: string): boolean {
  return parseRuntimeStep(name)?.kind === "remove";
}

/** Tell whether a step belongs to an agent's runtimes. */
export function isOfRuntime(name: string): boolean {
  return parseRuntimeStep(name) !== null;
}

/** Tell whether a step brings an addon, which takes nothing from a container that is there. */
export function isOfAddon(name: string): boolean {
  return name === "run-code-server" || name === "open-code-server";
}

const OF_WORKSPACE = new Set(["prepare-workspace", "allow-sudo", "clone-repository", "run-start-script"]);

/** Tell whether a step is about the workspace, which goes on beside everything else. */
export function isOfWorkspace(name: string): boolean {
  return OF_WORKSPACE.has(name);
}

/** Tell whether a step gives a container its limits. */
export function isResize(name: string): boolean {
  return name === "resize-guest";
}

/** Return the step that gives a container its limits, where one was needed. */
export function findResize(steps: readonly Step[]): Step | null {
  return steps.find(({ name }) => isResize(name)) ?? null;
}

/** Tell whether a failure is that of making the container itself. */
export function isCreation(name: string): boolean {
  return name === "create-guest";
}

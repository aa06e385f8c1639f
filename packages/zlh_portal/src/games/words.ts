/** A game server in words: how it stands, what a change of it means, what is in the way; pure. */
import type { ContainerStatus, GameBackup, GameDetail, GamePortStatus, GameState, Players, ProcessStatus, Step } from "../api/types";
import { isInstall } from "../containers/stepNames";
import type { Words } from "../layout/tone";
import { isolateOdd } from "../layout/words";

const STATES: Readonly<Record<GameState, Words>> = {
  installing: { label: "Installing", tone: "busy", meaning: "The files of the server are fetched; it starts by itself once they are complete." },
  installed: { label: "In place", tone: "good", meaning: "All files of this version are in the server's folder." },
  changing: { label: "Changing", tone: "busy", meaning: "Another version or a backup is being put in place, or a backup is made. The server is stopped for it and started afterwards." },
  failed: { label: "Failed", tone: "bad", meaning: "What was asked for could not be put in place. Overview says which step has failed, and why." },
};

export function describeState(state: GameState): Words {
  return STATES[state];
}

/** Return how its version reads while it may be on the way from one to another. */
export function describeInstalled({ version, installedVersion }: Pick<GameDetail, "version" | "installedVersion">): string {
  if (installedVersion === version) return version;
  return installedVersion === null ? `${version}, not complete yet` : `${installedVersion}, on the way to ${version}`;
}

/** Return the port that players type, with its address; null where none of them is public here. */
export function findEntrance(ports: readonly GamePortStatus[]): { address: string; port: GamePortStatus } | null {
  const port = ports.find(({ address }) => address !== null);
  return port?.address == null ? null : { address: port.address, port };
}

/** Return why a server cannot be changed now; null where it can. */
export function whyNoChange({ lifecycle }: Pick<ContainerStatus, "lifecycle">, state: GameState): string | null {
  if (lifecycle === "deleting") return "The container is being deleted.";
  return state === "changing" ? "Another change is under way; wait until it is done." : null;
}

/** Return why the files of a server cannot be placed again now; null where they can. */
export function whyNoRepair(status: Pick<ContainerStatus, "lifecycle">, { state, version, versions }: Pick<GameDetail, "state" | "version" | "versions">): string | null {
  return whyNoChange(status, state) ?? (versions.includes(version) ? null : `The catalog has no ${isolateOdd(version)} any more; the server can go to another version.`);
}

/** Return why no backup can be made now; null where one can. */
export function whyNoBackup(status: Pick<ContainerStatus, "lifecycle">, state: GameState): string | null {
  return state === "installing" ? "The server is not in place yet." : whyNoChange(status, state);
}

/** Return why nothing can be typed into its console now; null where it can. */
export function whyNoCommand({ connection, lifecycle }: Pick<ContainerStatus, "connection" | "lifecycle">): string | null {
  if (connection !== "online") return "The agent of this container is not heard now, and only it reaches the server.";
  return lifecycle === "running" || lifecycle === "starting" || lifecycle === "stopping" ? null : "The server does not run. Start it to type into its console.";
}

function serverOf(processes: readonly ProcessStatus[]): ProcessStatus | undefined {
  return processes.find(({ name }) => name === "server");
}

/** Return when the server was started, as far as its agent has told; null while it does not run. */
export function startOf({ processes }: Pick<ContainerStatus, "processes">): string | null {
  const server = serverOf(processes);
  return server?.pid == null ? null : server.startedAt;
}

/** Tell whether a server was started anew since another start of it; while it does not run, it was not. */
export function isStartedAnew(then: string | null, now: string | null): boolean {
  return now !== null && now !== then;
}

export interface Trouble {
  title: string;
  message: string;
  code: string;
}

/** Return why the server does not come up, as far as anything is known of it; null where it runs as it should. */
export function findTrouble({ lifecycle, ready, processes }: Pick<ContainerStatus, "lifecycle" | "ready" | "processes">, { hint, hintCode }: Pick<GameDetail, "hint" | "hintCode">): Trouble | null {
  if (lifecycle === "running" && ready) return null;
  const title = lifecycle === "stopped" ? "What the server said when it ended" : "Why the server does not come up";
  if (hint !== null) return { title, message: hint, code: hintCode ?? "hint" };
  const reason = serverOf(processes)?.reason ?? null;
  return reason === null || lifecycle === "stopped" ? null : { title, message: reason.message, code: reason.code };
}

/** Return what happens when the version is changed, one sentence each, in order. */
export function explainChange(game: Pick<GameDetail, "version" | "installedVersion">, to: string, hasBackup: boolean, isOn: boolean): string[] {
  const isSame = to === game.installedVersion;
  const fetched = isSame ? "Files that are missing or differ are fetched again" : `The files of ${to} are fetched`;
  const backup = hasBackup ? "Its folder is kept as a backup, to go back to." : "No backup is made: what the new version does to worlds and settings cannot be undone.";
  return [
    isOn ? `${fetched} while the server goes on.` : `${fetched}.`,
    isOn ? "The server is stopped, so it saves its worlds; players are disconnected." : null,
    isSame ? "Worlds, settings and all that is not part of the version stay; no backup is made." : backup,
    isOn ? `It starts as ${to}. If it does not become ready, it is not put back by itself.` : `It is ${to} from its next start on.`,
  ].filter((line) => line !== null);
}

/** Return what is under way for the files of a game server: their own step, or that of what it waits for; null where nothing is. */
export function findWork(steps: ContainerStatus["steps"], template: string): Step | null {
  const mine = steps.find(({ name, state }) => name.startsWith(`install ${template} `) && (state === "running" || state === "pending"));
  if (mine?.state !== "pending") return mine ?? null;
  return steps.find(({ name, state }) => isInstall(name) && state === "running") ?? mine;
}

/** Return what making a backup costs. */
export function explainBackup(isOn: boolean): string {
  const kept = "The server's folder is packed as it is. Of all backups the three newest are kept.";
  return isOn ? `${kept} The server is stopped for it, so its worlds are whole, and started again: players are disconnected.` : kept;
}

/** Return what going back to a backup costs. */
export function explainRestore({ version }: Pick<GameBackup, "version">, madeAt: string): string {
  return `All that is in the server's folder now is replaced by how it was on ${madeAt}, as ${isolateOdd(version)}: worlds, settings, mods and lists of players. What has come since is lost, and no backup is made of it. The server is stopped for it and players are disconnected.`;
}

/** "3 of 40", "3", "Nobody". */
export function describePlayers({ count, max }: Pick<Players, "count" | "max">): string {
  const most = max === null ? "" : ` of ${max}`;
  return count === 0 && max === null ? "Nobody" : `${count}${most}`;
}

/** Return what is to be known of the names beside the count; null where they are all of them. */
export function describeIncomplete({ count, complete, online }: Pick<Players, "count" | "complete" | "online">): string | null {
  if (complete && online.length === count) return null;
  return online.length < count ? `The server counts ${count}, and ${online.length === 0 ? "no name is" : `these names are`} known.` : "Not all of these names are certain.";
}

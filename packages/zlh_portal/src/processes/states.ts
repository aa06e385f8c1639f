/** A process in words: its state, its last end, what can be done with it; pure. */
import type { ContainerStatus, Process, ProcessStatus } from "../api/types";
import type { Words } from "../layout/tone";
import { isolateOdd, sayBriefly, shortenName } from "../layout/words";

// Letters of the name of a signal; the word of an agent may have any number.
const MOST_SIGNAL = 24;

const STATES: Readonly<Record<ProcessStatus["state"], Words>> = {
  starting: { label: "Starting", tone: "busy", meaning: "It runs and is not ready yet." },
  running: { label: "Running", tone: "good", meaning: "It runs." },
  stopping: { label: "Stopping", tone: "busy", meaning: "It was asked to end." },
  backoff: { label: "Waiting to restart", tone: "warn", meaning: "It ended by itself and is started again after a pause." },
  error: { label: "Given up", tone: "bad", meaning: "It is not started again until somebody asks for it." },
  stopped: { label: "Stopped", tone: "quiet", meaning: "It does not run." },
};

/** Return the state of a process in words; what is wished and not seen yet is told as under way. */
export function describeState({ power, status }: Pick<Process, "power" | "status">): Words {
  if (!status) {
    return power === "on"
      ? { label: "Not seen", tone: "quiet", meaning: "It should run; its agent does not report it now." }
      : { label: "Switched off", tone: "quiet", meaning: "It should not run; its agent does not report it now." };
  }
  if (status.state === "stopped" && power === "on" && !status.reason) {
    return { label: "Start asked", tone: "busy", meaning: "Its agent starts it in a moment." };
  }
  if ((status.state === "running" || status.state === "starting") && power === "off") {
    return { label: "Stop asked", tone: "busy", meaning: "Its agent stops it in a moment." };
  }
  if (status.state === "running" && status.reason) return { ...STATES.running, tone: "warn", meaning: status.reason.message };
  if (status.state === "running" && !status.ready) return { ...STATES.running, tone: "warn", meaning: "It runs and is not ready." };
  return STATES[status.state];
}

/** Return how a process last ended, or null where it never did. */
export function describeEnd(status: Pick<ProcessStatus, "exitCode" | "signal" | "outOfMemory" | "exitedAt">): string | null {
  if (status.outOfMemory) return "Killed by the kernel: the memory was used up";
  if (status.signal !== null) return `Ended by ${isolateOdd(shortenName(status.signal, MOST_SIGNAL))}`;
  if (status.exitCode !== null) return status.exitCode === 0 ? "Ended with exit code 0, a success" : `Ended with exit code ${status.exitCode}`;
  return status.exitedAt === null ? null : "Ended while nobody watched";
}

interface Deadline {
  atMs: number;
  /** The sentence at `now`. */
  tell: (nowMs: number) => string;
}

/** Return what happens by itself at a known moment, or null. */
export function findDeadline(status: ProcessStatus | null): Deadline | null {
  if (status?.state === "stopping" && status.killAt !== null) {
    return deadline(status.killAt, (s) => (s > 0 ? `Killed in ${s} s unless it ends before` : "It is being killed"));
  }
  if (status?.state === "backoff" && status.nextRestartAt !== null) {
    return deadline(status.nextRestartAt, (s) => (s > 0 ? `Starts again in ${s} s` : "It starts again now"));
  }
  return null;
}

function deadline(time: string, tell: (seconds: number) => string): Deadline | null {
  const atMs = Date.parse(time);
  return Number.isNaN(atMs) ? null : { atMs, tell: (nowMs) => tell(Math.max(0, Math.ceil((atMs - nowMs) / 1000))) };
}

export type Action = "start" | "stop" | "restart" | "kill" | "retry" | "give-up";

/** Return what makes sense now, the most likely first. */
export function offerActions({ power, status }: Pick<Process, "power" | "status">): Action[] {
  const isOn = power === "on";
  switch (status?.state) {
    case "starting":
    case "running":
      return isOn ? ["restart", "stop", "kill"] : ["kill"];
    case "stopping":
      return isOn ? ["stop", "kill"] : ["kill"];
    case "backoff":
      return ["retry", "give-up", "stop"];
    case "error":
      return isOn ? ["retry", "stop"] : ["start"];
    case "stopped":
      return isOn && !status.reason ? ["stop"] : ["start"];
    case undefined:
      return [isOn ? "stop" : "start"];
  }
}

/** Return what a button says; nothing that is down can be stopped, only kept from starting. */
export function labelOf(action: Action, status: ProcessStatus | null): string {
  switch (action) {
    case "start":
      return status ? "Start" : "Switch on";
    case "stop":
      return status && ["starting", "running", "stopping"].includes(status.state) ? "Stop" : "Switch off";
    case "restart":
      return "Restart";
    case "kill":
      return "Kill";
    case "retry":
      return "Retry now";
    case "give-up":
      return "Give up";
  }
}

/** Return where a process is looked at. The server of a game is declared by nobody, so it has no page of its own; the console of its container is its. */
export function pageOf({ name }: Pick<ProcessStatus, "name">, { vmid, kind }: Pick<ContainerStatus, "vmid" | "kind">): string {
  return kind === "game" && name === "server" ? `/containers/${vmid}/terminal` : `/containers/${vmid}/processes/${encodeURIComponent(name)}`;
}

/** Return the processes that are down without anybody having wanted it. */
export function findTroubled(processes: readonly ProcessStatus[]): ProcessStatus[] {
  return processes.filter(({ state }) => state === "backoff" || state === "error");
}

/** Return the processes that have ended by themselves between two reports. */
export function findCrashed(before: readonly ProcessStatus[], after: readonly ProcessStatus[]): ProcessStatus[] {
  const wasTroubled = new Map(findTroubled(before).map((status) => [status.name, status.exitedAt]));
  const known = new Set(before.map((status) => status.name));
  return findTroubled(after).filter(
    ({ name, exitedAt, reason }) => known.has(name) && reason?.code !== "given_up" && wasTroubled.get(name) !== exitedAt);
}

/** Say that a process has crashed; its name and its words are its agent's, and turn round nothing that is ours. */
export function tellCrash(process: ProcessStatus): { title: string; message: string } {
  const message = process.reason?.message ?? describeEnd(process) ?? "It ended by itself.";
  return { title: `${isolateOdd(process.name)} has crashed`, message: sayBriefly(message) };
}

/** Return the declared processes with what the newest report of the container says of each. */
export function joinReport(processes: readonly Process[], report: readonly ProcessStatus[] | null): Process[] {
  const seen = new Map(report?.map((status) => [status.name, status]));
  return processes.map((process) => ({ ...process, status: seen.get(process.name) ?? null }));
}

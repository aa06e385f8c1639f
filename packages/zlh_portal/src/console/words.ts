/** What a viewer of a console sees said about its connection; pure. */
import type { Connection } from "../api/types";
import { isolateOdd, sayBriefly } from "../layout/words";
import type { State } from "./machine";
import type { ConsoleSource } from "./source";

export interface ConsoleWords {
  /** For tests and for colours. */
  kind: "connecting" | "attached" | "offline" | "waiting" | "refused" | "ended";
  text: string;
  /** What the button that connects says, where that is of use. */
  action: string | null;
}

/** Return what to say at `nowMs`. The end of a terminal is the end of its console; that of a process is not. */
export function describeConsole(state: State, connection: Connection, nowMs: number, kind: ConsoleSource["kind"] = "terminal"): ConsoleWords {
  if (state.phase === "refused") return { kind: "refused", text: state.reason === null ? "This console cannot be reached." : sayBriefly(state.reason), action: "Try again" };
  if (kind === "process" && state.phase === "live") return describeProcess(state);
  if (kind === "terminal" && state.exit && (state.phase === "live" || state.phase === "waiting")) {
    return { kind: "ended", text: describeExit(state.exit), action: null };
  }
  switch (state.phase) {
    case "connecting":
      return connection === "offline" ? awaitAgent(connection, null) : { kind: "connecting", text: "Connecting…", action: null };
    case "replaying":
      return { kind: "connecting", text: "Catching up…", action: null };
    case "live":
      return { kind: "attached", text: "Attached", action: null };
    case "waiting": {
      const seconds = Math.max(0, Math.ceil(((state.retryAt ?? nowMs) - nowMs) / 1000));
      if (connection !== "online") return awaitAgent(connection, seconds);
      return { kind: "waiting", text: `${state.reason === null ? "Connection lost." : sayBriefly(state.reason)} Trying again in ${seconds} s.`, action: "Try now" };
    }
  }
}

const TOLD: Readonly<Record<string, string>> = {
  starting: "it starts", running: "it runs", stopping: "it is stopping", backoff: "it waits to be started again", error: "it was given up", stopped: "it does not run",
};

function describeProcess({ told, exit }: State): ConsoleWords {
  const isUp = told === "running" || told === "starting" || told === "stopping";
  const how = told === null ? "" : `: ${TOLD[told] ?? isolateOdd(told)}`;
  return { kind: isUp ? "attached" : "ended", text: `Attached${how}${exit ? `. ${describeExit(exit)}` : ""}`, action: null };
}

function describeExit({ code, signal }: NonNullable<State["exit"]>): string {
  if (code !== null) return `Ended with exit code ${code}`;
  return signal ? `Ended by ${isolateOdd(signal)}` : "Ended";
}

function awaitAgent(connection: "offline" | "connecting", seconds: number | null): ConsoleWords {
  const then = seconds === null ? "" : ` Trying again in ${seconds} s.`;
  const why = connection === "offline" ? "The agent is offline; what runs goes on." : "The agent is not connected yet.";
  return { kind: "offline", text: `${why}${then}`, action: "Try now" };
}

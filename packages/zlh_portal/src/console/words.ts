/** What a viewer of a console sees said about its connection; pure. */
import type { Connection } from "../api/types";
import type { State } from "./machine";

export interface ConsoleWords {
  /** For tests and for colours. */
  kind: "connecting" | "attached" | "offline" | "waiting" | "refused" | "ended";
  text: string;
  /** What the button that connects says, where that is of use. */
  action: string | null;
}

/** Return what to say at `nowMs`. */
export function describeConsole(state: State, connection: Connection, nowMs: number): ConsoleWords {
  if (state.phase === "refused") return { kind: "refused", text: state.reason ?? "This terminal cannot be reached.", action: "Try again" };
  if (state.exit && (state.phase === "live" || state.phase === "waiting")) {
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
      return { kind: "waiting", text: `${state.reason ?? "Connection lost."} Trying again in ${seconds} s.`, action: "Try now" };
    }
  }
}

function describeExit({ code, signal }: NonNullable<State["exit"]>): string {
  if (code !== null) return `Ended with exit code ${code}`;
  return signal ? `Ended by ${signal}` : "Ended";
}

function awaitAgent(connection: "offline" | "connecting", seconds: number | null): ConsoleWords {
  const then = seconds === null ? "" : ` Trying again in ${seconds} s.`;
  const why = connection === "offline" ? "The agent is offline; what runs in the terminal goes on." : "The agent is not connected yet.";
  return { kind: "offline", text: `${why}${then}`, action: "Try now" };
}

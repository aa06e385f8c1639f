/** A process to begin from, for tests alone. */
import type { Process, ProcessStatus } from "../api/types";
import { DEFAULT_POLICY } from "./draft";

export function sampleStatus(state: ProcessStatus["state"], more: Partial<ProcessStatus> = {}): ProcessStatus {
  return {
    name: "web", state, pid: null, startedAt: null, restarts: 0, nextRestartAt: null, killAt: null, exitCode: null, signal: null,
    outOfMemory: false, exitedAt: null, ready: false, reason: null, outdated: false, ...more,
  };
}

export function sampleProcess(more: Partial<Process> = {}): Process {
  return { name: "web", argv: ["node", "server.js"], folder: null, environment: {}, power: "on", policy: DEFAULT_POLICY, status: null, ...more };
}

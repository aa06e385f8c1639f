/** A status to begin from, for tests alone. */
import type { ContainerStatus, Limits, Resources, Step } from "../api/types";

export function sampleStep(name: string, state: Step["state"], more: Partial<Step> = {}): Step {
  return { name, state, startedAt: null, finishedAt: null, progress: null, code: null, message: null, exitCode: null, output: null, transfer: null, attempts: 0, nextTryAt: null, ...more };
}

export const SIZE: Resources = { cpu: 2, memoryMib: 2048, diskMib: 10_240, pids: 2048 };

export const LIMITS: Limits = {
  default: SIZE, maximum: { cpu: 8, memoryMib: 16_384, diskMib: 102_400, pids: 8192 }, enforced: ["cpu", "memoryMib", "diskMib", "pids"], driver: "lxc",
};

export function sampleStatus(more: Partial<ContainerStatus> = {}): ContainerStatus {
  return {
    vmid: 101, kind: "dev", name: "api", customerId: "c", connection: "online", lifecycle: "running", ready: true,
    provisioningComplete: true, provisioningError: null, power: "on", resources: SIZE, resourcesInForce: SIZE, degraded: [], suspended: false, steps: [],
    processes: [], terminals: [], ports: [], addons: [], runtimes: [], shells: null,
    workspace: { sudo: false, repository: null, hasStartScript: false }, hostname: "dev-101.localhost", url: null, createdAt: "2026-01-01T00:00:00Z",
    observedAt: null, specGeneration: 1, observedGeneration: 1, game: null, agent: null, ...more,
  };
}

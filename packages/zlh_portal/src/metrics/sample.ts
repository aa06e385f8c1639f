/** A sample to begin from, for tests alone. */
import type { Metrics, ProcessMetrics } from "../api/types";

export function sampleMetrics(atS: number, container: Partial<Metrics["container"]> = {}, processes: ProcessMetrics[] = []): Metrics {
  return {
    observedAt: new Date(atS * 1000).toISOString(),
    container: {
      source: "cgroup2", uptimeS: 100, cpuS: 0, cpuCores: null, cpuLimitCores: null, memoryBytes: 0, memoryCacheBytes: null, memoryLimitBytes: null,
      processes: 1, processesLimit: null, diskUsedBytes: null, diskTotalBytes: null, receivedBytes: null, sentBytes: null, ...container,
    },
    processes,
  };
}

export function sampleUsage(name: string, usage: Partial<ProcessMetrics["usage"]> = {}): ProcessMetrics {
  return {
    name, kind: "process", pid: 7,
    usage: { cpuS: 0, cpuCores: null, memoryBytes: 0, memoryProportionalBytes: null, readBytes: null, writtenBytes: null, processes: 1, threads: 1, openFiles: null, ...usage },
  };
}

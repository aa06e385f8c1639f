/** Reports for tests. */
import type { AuditReport, AuditStatus, Finding, WorkItem } from "../api/types";

export const LOOKED_AT = "2026-01-01T00:00:00Z";

export function sampleFinding(changes: Partial<Finding> = {}): Finding {
  return { kind: "orphan", severity: "warning", remedy: "operator", thing: "guest", message: "It is alone.", name: null, vmid: 101, owner: null, address: null, where: "node1/101", ...changes };
}

export function sampleReport(changes: Partial<AuditReport> = {}): AuditReport {
  return {
    lookedAt: LOOKED_AT,
    tookMs: 12,
    containers: 1,
    parts: [
      { name: "guests", count: 1, trouble: null },
      { name: "routes", count: 2, trouble: null },
      { name: "records", count: null, trouble: "No DNS provider is configured." },
    ],
    findings: [],
    leftOut: 0,
    ...changes,
  };
}

export function sampleStatus(changes: Partial<AuditStatus> = {}): AuditStatus {
  return {
    patrol: { isAlive: true, everyS: 15 },
    queue: { settled: 1, working: 0, due: 0, waiting: 0, held: 0, awaiting: 0, failing: 0, oldestDueS: null },
    work: [],
    workLeftOut: 0,
    report: sampleReport(),
    ...changes,
  };
}

export function sampleWork(changes: Partial<WorkItem> = {}): WorkItem {
  return { vmid: 101, owner: "a", name: "mine", state: "held", step: "create-guest", code: "guest_failed", message: "It failed.", attempts: 3, nextTryAt: null, waitingFor: null, isDeleting: false, ...changes };
}

/** Entries for tests. */
import type { AuditEntry } from "../api/types";

export function sampleEntry(more: Partial<AuditEntry> = {}): AuditEntry {
  return {
    number: 7, at: "2026-01-01T00:00:00Z", act: "container.create", outcome: "done", actor: { userId: "u1", email: "ann@acme.example", credentialId: "1a2b3c4d-0000", byToken: false },
    customerId: "c1", subject: "container 101", status: 202, code: null, requestId: "r-1", address: "192.0.2.7", details: {}, hash: "ab".repeat(32), ...more,
  };
}

/** Routes that the API's own document does not have yet; this file goes as soon as it does. */
import type { paths } from "./schema";

export interface Actor { userId: string | null; email: string | null; credentialId: string | null; byToken: boolean }
export interface AuditEntry {
  number: number; at: string; act: string; outcome: "done" | "refused" | "failed" | "unknown"; actor: Actor; customerId: string | null; subject: string | null;
  status: number | null; code: string | null; requestId: string | null; address: string | null; details: Record<string, string>; hash: string;
}

interface Items<T> { items: T[]; next?: string }
interface Answer<T> { headers: Record<string, unknown>; content: { "application/json": T } }
interface Get<Parameters, T> { parameters: Parameters; requestBody?: never; responses: { 200: Answer<T> } }
interface Log<Before> { before?: Before; limit?: number; act?: string; user?: string; subject?: string }

interface Pending {
  "/api/customers/{customer}/audit-log": { get: Get<{ query?: Log<number>; header?: never; path: { customer: string }; cookie?: never }, Items<AuditEntry>> };
  "/api/audit-log": { get: Get<{ query?: Log<string> & { customer?: string }; header?: never; path?: never; cookie?: never }, Items<AuditEntry>> };
}

export type AllPaths = paths & Pending;

/** People for tests. */
import type { CustomerRole, Me, Permission } from "../api/types";

export const VIEWER: Permission[] = ["containers:view", "customer:view", "account:manage"];
export const MEMBER: Permission[] = [...VIEWER, "containers:power", "containers:change", "consoles:use"];
const OWNER: Permission[] = [...MEMBER, "customer:manage", "audit-log:view"];
export const EVERYTHING: Permission[] = [...OWNER, "platform:view", "platform:manage"];

export function sampleCustomer(more: Partial<CustomerRole> = {}): CustomerRole {
  return { id: "c1", name: "Acme", role: "member", suspended: false, permissions: MEMBER, ...more };
}

export function sampleMe(more: Partial<Me> = {}): Me {
  return { user: { id: "u1", email: "ann@acme.example", isOperator: false, passwordChangedAt: "2026-01-01T00:00:00Z" }, customers: [sampleCustomer()], permissions: ["account:manage"], ...more };
}

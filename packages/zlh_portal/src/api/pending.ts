/** Routes that the API's own document does not have yet; this file goes as soon as it does. */
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
type Role = Schemas["Role"];
type Permission = Schemas["Permission"];

export interface Session { id: string; createdAt: string; lastSeenAt: string; expiresAt: string; address: string | null; userAgent: string | null; isCurrent: boolean }
export interface ChangePassword { currentPassword: string; newPassword: string }
export interface CreateToken { name: string; scopes: Permission[] | null; customerId: string | null; expiresInS: number | null }
export interface ApiToken { id: string; name: string; hint: string; scopes: Permission[] | null; customerId: string | null; createdAt: string; expiresAt: string | null; lastUsedAt: string | null }
export interface TokenMade { token: ApiToken; secret: string }
export interface InvitationSeen { customer: string; email: string; role: Role; expiresAt: string; hasAccount: boolean }
export interface PasswordResetMade { code: string; url: string; expiresAt: string }
export interface UserReport { id: string; email: string; isOperator: boolean; createdAt: string; suspended: boolean; suspendedReason: string | null; customers: Schemas["CustomerRole"][] }
export interface Quota { containers: number | null; cpu: number | null; memoryMib: number | null; diskMib: number | null; exposures: number | null; members: number | null }
export interface QuotaUse { name: string; used: number; quota: number | null; isOwn: boolean }
export interface Customer { id: string; name: string; createdAt: string; suspended: boolean; suspendedReason: string | null; role: Role | null; permissions: Permission[] }
export interface Member { userId: string; email: string; role: Role; since: string; suspended: boolean }
export interface Invite { email: string; role: Role; expiresInS: number }
export interface Invitation { id: string; email: string; role: Role; invitedBy: string | null; createdAt: string; expiresAt: string }
export interface InvitationMade { invitation: Invitation; code: string; url: string }
export interface Actor { userId: string | null; email: string | null; credentialId: string | null; byToken: boolean }
export interface AuditEntry {
  number: number; at: string; act: string; outcome: "done" | "refused" | "failed" | "unknown"; actor: Actor; customerId: string | null; subject: string | null;
  status: number | null; code: string | null; requestId: string | null; address: string | null; details: Record<string, string>; hash: string;
}
export type CreateContainer = Schemas["CreateContainer"] & { customerId: string | null };

interface Items<T> { items: T[]; next?: string }
interface Answer<T> { headers: Record<string, unknown>; content: { "application/json": T } }
interface Empty { headers: Record<string, unknown>; content?: never }
type Path<P> = { query?: never; header?: never; path: P; cookie?: never };
type Query<Q> = { query?: Q; header?: never; path?: never; cookie?: never };
type PathQuery<P, Q> = { query?: Q; header?: never; path: P; cookie?: never };
interface NoParameters { query?: never; header?: never; path?: never; cookie?: never }
interface Get<Parameters, T> { parameters: Parameters; requestBody?: never; responses: { 200: Answer<T> } }
interface Send<Parameters, Body, T> { parameters: Parameters; requestBody: { content: { "application/json": Body } }; responses: { 200: Answer<T> } }
interface SendEmpty<Parameters, Body> { parameters: Parameters; requestBody: { content: { "application/json": Body } }; responses: { 204: Empty } }
interface Act<Parameters> { parameters: Parameters; requestBody?: never; responses: { 204: Empty } }
type CustomerPath = Path<{ customer: string }>;
interface Pages { after?: string; limit?: number; q?: string }
interface Log<Before> { before?: Before; limit?: number; act?: string; user?: string; subject?: string }

interface Pending {
  "/api/me/password": { post: SendEmpty<NoParameters, ChangePassword> };
  "/api/sessions": { get: Get<NoParameters, Items<Session>> };
  "/api/sessions/{session}": { delete: Act<Path<{ session: string }>> };
  "/api/sessions/end-others": { post: Act<NoParameters> };
  "/api/tokens": { get: Get<NoParameters, Items<ApiToken>>; post: Send<NoParameters, CreateToken, TokenMade> };
  "/api/tokens/{token}": { delete: Act<Path<{ token: string }>> };
  "/api/customers": { get: Get<Query<Pages>, Items<Customer>>; post: Send<NoParameters, { name: string }, Customer> };
  "/api/customers/{customer}": { get: Get<CustomerPath, Customer>; patch: Send<CustomerPath, { name: string }, Customer>; delete: Act<CustomerPath> };
  "/api/customers/{customer}/members": { get: Get<CustomerPath, Items<Member>> };
  "/api/customers/{customer}/members/{user}": { patch: Send<Path<{ customer: string; user: string }>, { role: Role }, Member>; delete: Act<Path<{ customer: string; user: string }>> };
  "/api/customers/{customer}/leave": { post: Act<CustomerPath> };
  "/api/customers/{customer}/invitations": { get: Get<CustomerPath, Items<Invitation>>; post: Send<CustomerPath, Invite, InvitationMade> };
  "/api/customers/{customer}/invitations/{invitation}": { delete: Act<Path<{ customer: string; invitation: string }>> };
  "/api/invitations/look": { post: Send<NoParameters, { code: string }, InvitationSeen> };
  "/api/invitations/accept": { post: Send<NoParameters, { code: string; password: string | null }, Schemas["Me"]> };
  "/api/users": { get: Get<Query<Pages>, Items<UserReport>> };
  "/api/users/{user}": { patch: Send<Path<{ user: string }>, { isOperator: boolean }, UserReport> };
  "/api/users/{user}/suspend": { post: Send<Path<{ user: string }>, { reason: string }, UserReport> };
  "/api/users/{user}/resume": { post: Get<Path<{ user: string }>, UserReport> };
  "/api/users/{user}/password-reset": { post: Get<Path<{ user: string }>, PasswordResetMade> };
  "/api/password-resets/accept": { post: SendEmpty<NoParameters, { code: string; newPassword: string }> };
  "/api/customers/{customer}/usage": { get: Get<CustomerPath, Items<QuotaUse>> };
  "/api/customers/{customer}/quota": { put: Send<CustomerPath, Quota, Items<QuotaUse>> };
  "/api/customers/{customer}/suspend": { post: Send<CustomerPath, { reason: string }, Customer> };
  "/api/customers/{customer}/resume": { post: Get<CustomerPath, Customer> };
  "/api/customers/{customer}/audit-log": { get: Get<PathQuery<{ customer: string }, Log<number>>, Items<AuditEntry>> };
  "/api/audit-log": { get: Get<Query<Log<string> & { customer?: string }>, Items<AuditEntry>> };
}

export type AllPaths = Omit<paths, "/api/containers"> & Pending & {
  "/api/containers": Omit<paths["/api/containers"], "post"> & {
    post: Omit<paths["/api/containers"]["post"], "requestBody"> & { requestBody: { content: { "application/json": CreateContainer } } };
  };
};

/** The wire shapes under the names the portal uses; all of them come from the API's own document. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type ContainerStatus = Schemas["ContainerStatus"];
export type Step = Schemas["Step"];
export type Resources = Schemas["Resources"];
export type ResourceWish = Schemas["ResourceWish"];
export type PatchContainer = Schemas["PatchContainer"];
export type CreateContainer = Schemas["CreateContainer"];
export type Limits = Schemas["Limits"];
export type Lifecycle = Schemas["Lifecycle"];
export type Connection = Schemas["Connection"];
export type Me = Schemas["Me"];
export type Actor = Schemas["Actor"];
export type AuditEntry = Schemas["AuditEntry"];
export type ApiToken = Schemas["ApiToken"];
export type CreateToken = Schemas["CreateToken"];
export type Customer = Schemas["Customer"];
export type Invitation = Schemas["Invitation"];
export type InvitationMade = Schemas["InvitationMade"];
export type InvitationSeen = Schemas["InvitationSeen"];
export type Invite = Schemas["Invite"];
export type Member = Schemas["Member"];
export type PasswordResetMade = Schemas["PasswordResetMade"];
export type Quota = Schemas["Quota"];
export type QuotaUse = Schemas["QuotaUse"];
export type Session = Schemas["Session"];
export type TokenMade = Schemas["TokenMade"];
export type UserReport = Schemas["UserReport"];
export type CustomerRole = Schemas["CustomerRole"];
export type Permission = Schemas["Permission"];
export type Role = Schemas["Role"];
export type RuntimeOffer = Schemas["RuntimeOffer"];
export type RuntimeVersionOffer = Schemas["RuntimeVersionOffer"];
export type InstalledRuntime = Schemas["InstalledRuntime"];
export type Runtimes = Schemas["Runtimes"];
export type PendingRuntime = Schemas["PendingRuntime"];
export type InstallRuntime = Schemas["InstallRuntime"];
export type RuntimeVerification = Schemas["RuntimeVerification"];
export type Transfer = Schemas["Transfer"];
export type AddonStatus = Schemas["AddonStatus"];
export type Addons = Schemas["Addons"];
export type ShellReport = Schemas["ShellReport"];
export type ShellCheck = Schemas["ShellCheck"];
export type Exposure = Schemas["Exposure"];
export type ListeningPort = Schemas["ListeningPort"];
export type Terminal = Schemas["Terminal"];
export type Process = Schemas["Process"];
export type ProcessStatus = Schemas["ProcessStatus"];
export type ProcessPolicy = Schemas["ProcessPolicy"];
export type PutProcess = Schemas["PutProcess"];
export type Probe = NonNullable<Schemas["ReadyPolicy"]["probe"]>;
export type ConsoleHistory = Schemas["ConsoleHistory"];
export type Metrics = Schemas["Metrics"];
export type ProcessMetrics = Schemas["ProcessMetrics"];
export type HistoryEntry = Schemas["HistoryEntry"];
export type AuditStatus = Schemas["AuditStatus"];
export type AuditReport = Schemas["AuditReport"];
export type Finding = Schemas["Finding"];
export type WorkItem = Schemas["WorkItem"];
export type Proof = Schemas["Proof"];
export type ProofLink = Schemas["ProofLink"];
export type EdgeStatus = Schemas["EdgeStatus"];
export type ShownCertificate = Schemas["ShownCertificate"];
export type QueueFigures = Schemas["QueueFigures"];

/** A page of a list; `next` asks for the one after it. */
export interface Page<T> {
  items: T[];
  next?: string;
}

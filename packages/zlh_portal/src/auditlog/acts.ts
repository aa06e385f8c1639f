/** Entries of the audit log in plain words; pure. An API of a later version knows more acts. */
import type { Actor, AuditEntry } from "../api/types";
import type { Words } from "../layout/tone";
import { capitalize } from "../layout/words";

const ACTS: Readonly<Record<string, string>> = {
  "container.create": "Create a container",
  "container.change": "Change a container",
  "container.delete": "Delete a container",
  "container.start": "Start a container",
  "container.stop": "Stop a container",
  "container.restart": "Restart a container",
  "container.kill": "Kill a container",
  "container.check": "Have the way to a container looked at",
  "workspace.retry": "Try a workspace again",
  "game.change": "Change variables of a game server",
  "game.version": "Change the version of a game server",
  "game.backup": "Make a backup of a game server",
  "game.restore": "Go back to a backup of a game server",
  "game.verify": "Verify a game server's files",
  "game.command": "Type a command into a game server",
  "console.open": "Open a console",
  "console.close": "Close a console",
  "ticket.issue": "Get a ticket for a console",
  "terminal.start": "Open a terminal",
  "terminal.end": "Close a terminal",
  "runtime.install": "Install a runtime",
  "runtime.upgrade": "Upgrade a runtime",
  "runtime.roll-back": "Roll a runtime back",
  "runtime.repair": "Repair a runtime",
  "runtime.remove": "Remove a runtime",
  "runtime.prune": "Remove runtimes that nothing uses",
  "runtime.verify": "Verify a runtime",
  "addon.enable": "Enable an addon",
  "addon.upgrade": "Upgrade an addon",
  "addon.roll-back": "Roll an addon back",
  "addon.repair": "Repair an addon",
  "addon.remove": "Remove an addon",
  "addon.verify": "Verify an addon",
  "mod.change": "Change the mods",
  "mod.update": "Update a mod",
  "mod.remove": "Remove a mod",
  "mod.enable": "Enable a mod",
  "mod.disable": "Disable a mod",
  "mod.pin": "Pin a mod to its version",
  "mod.unpin": "Unpin a mod",
  "mod.verify": "Verify the mods",
  "mod.identify": "Look up unknown mods",
  "mod.roll-back": "Undo a change of mods",
  "process.declare": "Declare a process",
  "process.remove": "Remove a process",
  "process.start": "Start a process",
  "process.stop": "Stop a process",
  "process.restart": "Restart a process",
  "process.kill": "Kill a process",
  "access.open": "Sign in at a published port",
  "port.publish": "Publish a port",
  "port.unpublish": "Take back a port",
  "identity.renew": "Renew a container's identity",
  "session.open": "Sign in",
  "session.close": "Sign out",
  "session.end": "End a session",
  "session.end-others": "End all other sessions",
  "password.change": "Change the password",
  "password-reset.accept": "Set a new password by a link",
  "password-reset.create": "Make a link for a new password",
  "token.create": "Make an API token",
  "token.delete": "Delete an API token",
  "customer.create": "Create a customer",
  "customer.rename": "Rename a customer",
  "customer.delete": "Delete a customer",
  "customer.suspend": "Suspend a customer",
  "customer.resume": "Resume a customer",
  "customer.quota": "Set a quota",
  "member.change": "Change a member's role",
  "member.remove": "Remove a member",
  "member.leave": "Leave a customer",
  "invitation.create": "Invite somebody",
  "invitation.accept": "Accept an invitation",
  "invitation.withdraw": "Withdraw an invitation",
  "user.change": "Change a user",
  "user.suspend": "Suspend a user",
  "user.resume": "Resume a user",
  "operator.make": "Make an operator, by a command",
  "authority.rotate": "Begin a change of the CAs",
  "authority.retire": "Retire the old CAs",
  "authority.renew": "Renew a container's identity, by a command",
  "authority.unpin": "Accept any key of agents",
  "authority.adopt": "Go by the CAs of the folder",
  "remains.remove": "Remove what a container has left",
  "records.forget": "Forget a DNS provider that is configured no more",
  "catalog.decide": "Decide about a version in the catalog",
  "rollout.start": "Begin a roll-out of the agent",
  "rollout.pause": "Pause a roll-out",
  "rollout.resume": "Go on with a roll-out",
  "rollout.cancel": "Cancel a roll-out",
  "rollout.retry": "Try a roll-out's failures again",
  "audit.look": "Have the platform compared with its books",
};

/** Return an act in plain words; one that is not known is read out of its word. */
export function nameAct(act: string): string {
  const known = ACTS[act];
  if (known) return known;
  const [thing = "", ...verbs] = act.split(".");
  const verb = verbs.join(" ").replaceAll("-", " ");
  return verb ? capitalize(`${verb}: ${thing.replaceAll("-", " ")}`) : capitalize(thing) || "Act";
}

/** Return the acts to choose from: those that are known and those that were seen, by their words. */
export function offerActs(seen: readonly string[]): { value: string; label: string }[] {
  return [...new Set([...Object.keys(ACTS), ...seen])].map((value) => ({ value, label: nameAct(value) })).sort((a, b) => a.label.localeCompare(b.label));
}

const OUTCOMES: Readonly<Record<string, Words>> = {
  done: { label: "Done", tone: "good", meaning: "It was carried out." },
  refused: { label: "Refused", tone: "warn", meaning: "Whoever asked may not, or asked for what cannot be. Nothing was changed." },
  failed: { label: "Failed", tone: "bad", meaning: "Something broke on the platform's side." },
  unknown: { label: "Unknown", tone: "quiet", meaning: "The platform was interrupted before it could say how it ended. It may have been done." },
};

export const OUTCOME_CHOICES = Object.entries(OUTCOMES).map(([value, { label }]) => ({ value, label }));

export function describeOutcome({ outcome }: Pick<AuditEntry, "outcome">): Words {
  return OUTCOMES[outcome] ?? { label: outcome, tone: "quiet", meaning: "" };
}

/** "ann@acme.example", "A user who is gone"; without either, what can still be said. */
export function nameActor({ email, userId, credentialId }: Actor): string {
  if (email !== null) return email;
  if (userId !== null) return "A user who is gone";
  return credentialId === null ? "The platform, or nobody signed in" : "Somebody";
}

const ID_CHARS = 8;

/** "token 1a2b3c4d", "session 1a2b3c4d"; empty where there was neither. */
export function nameCredential({ credentialId, byToken }: Actor): string {
  if (credentialId === null) return "";
  return `${byToken ? "token" : "session"} ${credentialId.slice(0, ID_CHARS)}`;
}

interface Subject {
  text: string;
  /** Where it is seen; null where no page shows it. */
  to: string | null;
}

/** Return what an entry is about, with the page of it where there is one; customers by the names that are known. */
export function findSubject({ subject, customerId }: Pick<AuditEntry, "subject" | "customerId">, customers: ReadonlyMap<string, string> = new Map()): Subject | null {
  if (subject === null) return null;
  const container = /^container (\d{1,9})\b/.exec(subject)?.[1];
  if (container) return { text: subject, to: `/containers/${container}` };
  const customer = /^customer ([0-9a-f-]{36})$/.exec(subject)?.[1];
  if (customer) return { text: customers.get(customer) ?? subject, to: `/customers/${customer}` };
  return { text: subject, to: customerId !== null && /^(member|invitation)\b/.test(subject) ? `/customers/${customerId}/members` : null };
}

/** Return those who acted in these entries, once each. */
export function actorsOf(entries: readonly AuditEntry[]): { value: string; label: string }[] {
  const found = new Map(entries.flatMap(({ actor: { userId, email } }) => (userId === null ? [] : [[userId, email ?? userId] as const])));
  return [...found].map(([value, label]) => ({ value, label }));
}

/** What is narrowed down here, since it is not asked of the API. */
export function filterOutcome(entries: readonly AuditEntry[], outcome: string | null): AuditEntry[] {
  return outcome === null ? [...entries] : entries.filter((entry) => entry.outcome === outcome);
}

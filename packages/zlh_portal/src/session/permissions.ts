/** What a person may do, by the permissions that the API names and never by what a role is called; pure. The API decides. */
import type { CustomerRole, Me, Permission } from "../api/types";
import { isolate } from "../layout/words";

/** A permission as what one does with it: "your role does not include …". */
const ACTS: Readonly<Record<Permission, string>> = {
  "containers:view": "looking at containers",
  "containers:power": "starting and stopping containers",
  "containers:change": "creating and changing containers",
  "consoles:use": "consoles and terminals",
  "files:read": "reading files",
  "files:write": "changing files",
  "customer:view": "looking at the customer",
  "customer:manage": "members, invitations and the customer's name",
  "audit-log:view": "the audit log",
  "account:manage": "the account",
  "platform:view": "the platform",
  "platform:manage": "the platform",
};

/** Return why somebody may not act so for a customer, or for nobody in particular; null where they may. */
export function whyNot(me: Me | null | undefined, permission: Permission, customerId: string | null = null): string | null {
  if (!me) return "You are not signed in.";
  if (me.permissions.includes(permission)) return null;
  const customer = me.customers.find(({ id }) => id === customerId);
  if (customer?.permissions.includes(permission)) return null;
  if (permission.startsWith("platform:")) return "Only operators of the platform may do this.";
  if (!customer) return "You do not belong to this customer.";
  if (customer.suspended) return `${isolate(customer.name)} is suspended: one may look, and nothing more.`;
  return `Your role as ${customer.role} does not include ${ACTS[permission]}. Ask an owner of ${isolate(customer.name)} for one that does.`;
}

/** Return the customers for which somebody may act so, in the order in which the API has them. */
export function customersWith(me: Me, permission: Permission): CustomerRole[] {
  return me.customers.filter(({ id }) => whyNot(me, permission, id) === null);
}

/** What somebody may do with a container, as its pages ask for it. */
export interface Rights {
  change: boolean;
  power: boolean;
  console: boolean;
}

export function rightsOn(me: Me | null | undefined, { customerId, lifecycle }: { customerId: string; lifecycle: string }): Rights {
  const isStaying = lifecycle !== "deleting";
  return {
    change: isStaying && whyNot(me, "containers:change", customerId) === null,
    power: isStaying && whyNot(me, "containers:power", customerId) === null,
    console: whyNot(me, "consoles:use", customerId) === null,
  };
}

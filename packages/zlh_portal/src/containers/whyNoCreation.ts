/** Whether somebody may create containers at all; pure. */
import type { Me } from "../api/types";
import { customersWith, whyNot } from "../session/permissions";

/** Return why not; null where they may for at least one customer. Operators are told by the API. */
export function whyNoCreation(me: Me | null | undefined): string | null {
  if (!me || whyNot(me, "containers:change") === null || customersWith(me, "containers:change").length > 0) return null;
  const [first] = me.customers;
  return first ? whyNot(me, "containers:change", first.id) : "You belong to no customer yet, so there is nobody to create containers for. Ask an owner of one to invite you.";
}

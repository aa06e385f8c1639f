/** The roles of a customer in words; pure. What each may do is the API's to decide. */
import type { Role } from "../api/types";

export const ROLES: readonly Role[] = ["owner", "member", "viewer"];

/** `does` goes on after the name of the role. */
export const ROLE_WORDS: Readonly<Record<Role, { label: string; meaning: string; does: string }>> = {
  owner: { label: "Owner", meaning: "Everything: containers, people, and the audit log", does: "may do everything: containers, people, and the audit log" },
  member: { label: "Member", meaning: "Creates, changes and deletes containers, and works in them", does: "creates, changes and deletes containers, and works in them" },
  viewer: { label: "Viewer", meaning: "Looks at containers, and changes nothing", does: "looks at containers, and changes nothing" },
};

/** Tell whether a role gives less than another one. */
export function isLess(role: Role, than: Role): boolean {
  return ROLES.indexOf(role) > ROLES.indexOf(than);
}

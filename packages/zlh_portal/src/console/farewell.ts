/** What is told of a console that did not open, or that the server has closed; pure. */

/** Why a socket did not open, since browsers do not say: `isFinal` where trying again is of no use. */
export interface Diagnosis {
  reason: string | null;
  isFinal: boolean;
}

const POLICY_VIOLATION = 1008;
// It was typed into what takes no input: nothing was taken from the viewer, who may go on looking.
const READ_ONLY = "read_only";

const REASONS: Readonly<Record<string, string>> = {
  not_signed_in: "This console was closed because you are signed out.",
  role_missing: "This console was closed because your role no longer includes consoles. An owner of the customer can change that.",
  scope_missing: "This console was closed because what it was opened with no longer includes consoles.",
  customer_suspended: "This console was closed because the customer is suspended.",
  account_suspended: "This console was closed because your account is suspended.",
  not_found: "This console was closed because you no longer have access to this container, or it is gone.",
};

/** Return the reason of a close that took a right away, which is final; null of any other, after which one connects again. */
export function explainClose(code: number, reason: string): Diagnosis | null {
  if (code !== POLICY_VIOLATION || reason === READ_ONLY) return null;
  return { reason: REASONS[reason] ?? `This console was closed by the platform${/^[a-z_]{1,40}$/.test(reason) ? ` (${reason})` : ""}.`, isFinal: true };
}

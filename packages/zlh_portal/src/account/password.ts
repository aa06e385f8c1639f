/** What a password needs, as far as the portal can tell; pure. The API decides. */

export const LEAST_CHARS = 12;
const MOST_CHARS = 1024;

/** Return what is wrong with a new password, or null. */
export function complainAboutPassword(password: string): string | null {
  // As the API counts: by characters, and not by the halves of some.
  const { length } = Array.from(password);
  if (length === 0) return "Choose a password.";
  if (length < LEAST_CHARS) return `A password has at least ${LEAST_CHARS} characters; this has ${length}. A few words make a good one.`;
  return length > MOST_CHARS ? `A password has at most ${MOST_CHARS} characters; this has ${length}.` : null;
}

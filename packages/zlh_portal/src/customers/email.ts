/** What an e-mail address looks like, as far as the portal can tell; pure. The API decides. */

const MOST_CHARS = 254;

export function complainAboutEmail(text: string): string | null {
  const email = text.trim();
  if (email === "") return "Enter the e-mail address of the person.";
  if (email.length > MOST_CHARS) return `An address has at most ${MOST_CHARS} characters; this has ${email.length}.`;
  return /^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$/.test(email) ? null : "An address is a name, an @ and a host, without spaces.";
}

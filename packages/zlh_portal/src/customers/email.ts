/** What an e-mail address looks like, as far as the portal can tell; pure. The API decides. */
import { hex } from "../layout/words";

const MOST_CHARS = 254;
// Letters, marks and digits of all scripts, and what else mail systems let stand before the @.
const LOCAL = /^[\p{L}\p{M}\p{Nd}!#$%&'*+/=?^_`{|}~.-]+$/u;
const HOST = /^[\p{L}\p{M}\p{Nd}.-]+$/u;

export function complainAboutEmail(text: string): string | null {
  const email = text.trim();
  if (email === "") return "Enter the e-mail address of the person.";
  if (email.length > MOST_CHARS) return `An address has at most ${MOST_CHARS} characters; this has ${email.length}.`;
  const [local = "", host = "", ...more] = email.split("@");
  if (local === "" || host === "" || more.length > 0 || /\s/.test(email)) return "An address is a name, an @ and a host, without spaces.";
  const odd = findOdd(local, LOCAL) ?? findOdd(host, HOST);
  if (odd !== undefined) return `No mail is sent to an address with ${show(odd)} in it.`;
  if (/^\.|\.$|\.\./.test(local) || /^[.-]|[.-]$|\.\.|-\.|\.-/.test(host)) return "A dot or a dash stands where an address has none.";
  return null;
}

function findOdd(text: string, allowed: RegExp): string | undefined {
  return Array.from(text).find((character) => !allowed.test(character));
}

/** What is not seen is shown by its number. */
function show(character: string): string {
  return /[\p{C}\p{Z}]/u.test(character) ? `U+${hex(character.codePointAt(0) ?? 0, 4)}` : character;
}

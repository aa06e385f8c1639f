/** What a container may be called; pure. The API decides, this only says it while one types. */

const NAME_CHARS = 63;

/** Return what is wrong with a name, or null. An empty one is fine: the platform gives one then; `taken` is what else the customer has. */
export function complainAboutName(name: string, taken: readonly string[]): string | null {
  const trimmed = name.trim();
  if (trimmed === "") return null;
  if (trimmed.length > NAME_CHARS) return `A name has at most ${NAME_CHARS} characters; this has ${trimmed.length}.`;
  if (!/^[A-Za-z0-9]/.test(trimmed)) return "A name begins with a letter from a to z or a digit.";
  const odd = /[^A-Za-z0-9 ._-]/u.exec(trimmed);
  if (odd) return `A name has letters from a to z, digits, spaces, dots, dashes and underscores, not “${odd[0]}”.`;
  const wanted = trimmed.toLowerCase();
  if (taken.some((each) => each.toLowerCase() === wanted)) return `You already have a container called ${trimmed}.`;
  return null;
}

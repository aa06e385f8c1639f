/** A command as one line, split into words as a shell would, and back; pure. No shell ever runs it. */

/** Return the words of a line, or what is wrong with it. */
export function splitWords(line: string): { words: string[] } | { problem: string } {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (let i = 0; i < line.length; i += 1) {
    const character = line.charAt(i);
    if (character === "\\" && quote !== "'") {
      const next = line.charAt(i + 1);
      if (next === "") return { problem: "The backslash at the end stands before nothing." };
      // Between double quotes a backslash means itself, unless it stands before what it can escape.
      word = (word ?? "") + (quote === null || next === '"' || next === "\\" ? next : character + next);
      i += 1;
    } else if (quote !== null) {
      if (character === quote) quote = null;
      else word = (word ?? "") + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== null) return { problem: `The quote ${quote} is not closed.` };
  if (word !== null) words.push(word);
  return { words };
}

/** Return a line that splits into exactly these words. */
export function joinWords(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** Return the first word that only a shell would understand, where no shell is asked for; else null. */
export function findShellWord(words: readonly string[]): string | null {
  const program = words[0]?.split("/").pop() ?? "";
  if (/^(ba|da|z|k)?sh$/.test(program)) return null;
  return words.find((word) => /^(\|\|?|&&?|;|<|\d?>>?(&\d)?)$/.test(word) || /^~(\/|$)/.test(word) || /\$[A-Za-z_{(]/.test(word)) ?? null;
}

/** Lines for the console of a game server: what can be completed, and how a command is used; pure. */
import type { ConsoleCommand } from "../api/types";

const MOST = 12;

/** Return whole lines that `line` may become: earlier ones while it is empty, commands while their name is being typed. */
export function completeLine(line: string, commands: readonly ConsoleCommand[], earlier: readonly string[]): string[] {
  if (line === "") return [...new Set(earlier.toReversed())].slice(0, MOST);
  if (/\s/.test(line)) return [];
  const slash = line.startsWith("/") ? "/" : "";
  const typed = line.slice(slash.length).toLowerCase();
  const names = commands.map(({ name }) => name).filter((name) => name.toLowerCase().startsWith(typed) && name.toLowerCase() !== typed);
  // What takes something is followed by it.
  return names.slice(0, MOST).map((name) => `${slash}${name}${usageOf(name, commands) ? " " : ""}`);
}

/** Return how the command of a line is used: "say <message>"; null where it is not known. */
export function describeUsage(line: string, commands: readonly ConsoleCommand[]): string | null {
  const name = line.trim().replace(/^\//, "").split(/\s/, 1)[0]?.toLowerCase() ?? "";
  const known = commands.find((command) => command.name.toLowerCase() === name);
  return known ? `${known.name} ${known.usage}`.trim() : null;
}

function usageOf(name: string, commands: readonly ConsoleCommand[]): string {
  return commands.find((command) => command.name === name)?.usage ?? "";
}

/** Return what is wrong with a line, in a sentence; null where it can be sent. */
export function complainAboutLine(line: string): string | null {
  if (line.length > 1024) return "A line has 1,024 characters at most.";
  return /\p{Cc}/u.test(line) ? "A line has no control characters." : null;
}

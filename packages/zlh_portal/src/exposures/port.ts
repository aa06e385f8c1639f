/** Return the port that was typed, or what is wrong with it; pure. */
export function parsePort(text: string, published: readonly number[]): { port: number } | { problem: string } {
  const trimmed = text.trim();
  if (trimmed === "") return { problem: "Which port does your program listen on?" };
  const port = Number(trimmed);
  if (!/^\d+$/.test(trimmed) || port < 1 || port > 65_535) return { problem: "A port is a whole number from 1 to 65535." };
  if (published.includes(port)) return { problem: `Port ${port} is published already.` };
  return { port };
}

/** Whether the server has another version of the portal than the one that this page was loaded from. */
import { tell } from "./standing";

const ENTRY = /<script[^>]*\ssrc="(\/assets\/[^"]+\.js)"/;

/** Return the script that a page of the portal begins with, or null where it is no such page. Pure. */
export function parseEntry(html: string): string | null {
  return ENTRY.exec(html)?.[1] ?? null;
}

/** Ask the server, and tell where it is so; true then. What cannot be known is not. */
export async function checkVersion(): Promise<boolean> {
  const ours = document.querySelector('script[src^="/assets/"]')?.getAttribute("src") ?? null;
  const theirs = await fetch("/", { cache: "no-store" }).then((answer) => (answer.ok ? answer.text() : ""), () => "").then(parseEntry);
  const isReplaced = ours !== null && theirs !== null && ours !== theirs;
  if (isReplaced) tell({ type: "replaced" });
  return isReplaced;
}

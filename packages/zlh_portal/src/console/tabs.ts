/** Which terminals stand side by side, and what they are called; pure. */
import type { ContainerStatus } from "../api/types";

/** The persistent shell of a dev container, made on the first attach; of a game container the console of its server. */
export const MAIN = "main";
// As agents name them: an address may name anything.
const ID = /^\w{1,64}$/;

/**
 * Return the terminals of a container by their ids, the main one first. While the list of them is undefined, the one that
 * the address names is believed to be there; later it is as long as it is shown and `seen` to have been there.
 */
export function listTabs(terminals: readonly string[] | undefined, chosen: string, seen: string): string[] {
  const others = terminals?.filter((id) => id !== MAIN) ?? [];
  const isOneMore = chosen !== MAIN && ID.test(chosen) && !others.includes(chosen) && (terminals === undefined || chosen === seen);
  return [MAIN, ...others, ...(isOneMore ? [chosen] : [])];
}

/** Return what a terminal is called; of a game container the main one is no shell. */
export function labelTab(id: string, ids: readonly string[], kind: ContainerStatus["kind"]): string {
  if (id === MAIN) return kind === "game" ? "Server console" : "Main";
  return `Terminal ${ids.indexOf(id) + (kind === "game" ? 0 : 1)}`;
}

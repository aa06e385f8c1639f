/** What goes when a container is deleted, as the portal knows it; pure. */
import type { ContainerStatus, Exposure } from "../api/types";
import { isolateOdd, shortenName } from "../layout/words";
import { describeSize } from "./sizes";
import { describeRuntimes } from "./states";

// More names than these are counted.
const NAMED = 6;
const NAME_CHARS = 40;

/** Return a line for each kind of thing that is lost. */
export function listLosses(status: ContainerStatus, exposures: readonly Exposure[]): string[] {
  const runtimes = describeRuntimes(status);
  // That of an addon is nobody's work.
  const ports = exposures.filter(({ addon }) => !addon);
  const terminals = status.terminals.length;
  return [
    "All files in it",
    ...(runtimes ? [`What is installed: ${runtimes}`] : []),
    ...(status.processes.length > 0 ? [`Its ${count(status.processes.length, "process", "processes")}: ${nameSome(status.processes.map(({ name }) => name))}`] : []),
    ...(terminals > 0 ? [`Its ${count(terminals, "terminal", "terminals")} and what runs in ${terminals === 1 ? "it" : "them"}`] : []),
    ...(ports.length > 0 ? [`Its published ${count(ports.length, "port", "ports")}: ${nameSome(ports.map(({ port }) => String(port)))}`] : []),
    `Its address ${status.hostname}, its history, and its place on the host (${describeSize(status.resourcesInForce ?? status.resources)})`,
  ];
}

function count(number: number, one: string, many: string): string {
  return number === 1 ? one : `${number} ${many}`;
}

function nameSome(names: readonly string[]): string {
  const rest = names.length - NAMED;
  const named = names.slice(0, NAMED).map((name) => isolateOdd(shortenName(name, NAME_CHARS))).join(", ");
  return rest > 0 ? `${named} and ${rest} more` : named;
}

/** The machines that containers are on, in words and shares; pure. */
import type { PlatformNode, PlatformNodes } from "../api/types";
import type { Tone, Words } from "../layout/tone";
import { formatBytes } from "../layout/words";

const MIB = 1024 ** 2;

const STATES: Readonly<Record<PlatformNode["state"], Words>> = {
  online: { label: "Online", tone: "good", meaning: "It has room for new containers." },
  full: { label: "Full", tone: "warn", meaning: "What is on it goes on; no container of the usual size finds room." },
  maintenance: { label: "Maintenance", tone: "warn", meaning: "People have taken it out of service." },
  offline: { label: "Away", tone: "bad", meaning: "Its cluster does not reach it." },
  unknown: { label: "Not known", tone: "bad", meaning: "Whoever would know does not answer." },
};

export function describeNode({ state, isUsed }: PlatformNode): Words {
  return state === "online" && !isUsed ? { label: "Not used", tone: "quiet", meaning: "New containers are put on other nodes." } : STATES[state];
}

const GUESTS: readonly [string, string][] = [
  ["running", "running"],
  ["stopped", "stopped"],
  ["half-made", "half made"],
  ["absent", "not made yet"],
  ["foreign", "in the way of something else"],
];

/** "3 running, 1 stopped"; "no container" where it holds none. */
export function countContainers({ containers }: PlatformNode): string {
  const known = GUESTS.flatMap(([state, words]) => (containers[state] ? [`${containers[state]} ${words}`] : []));
  return known.join(", ") || "no container";
}

export interface Share {
  label: string;
  /** Of all that there is, from 0; more than 1 where more is promised than there is. Null where nobody knows how much there is. */
  share: number | null;
  text: string;
  tone: Tone;
}

/** What of a node's memory and disk is in use, and what is promised to containers. */
export function sharesOf(node: PlatformNode): Share[] {
  const { memoryMib, usedMemoryMib, reservedMemoryMib, promisedMemoryMib, diskMib, freeDiskMib, reservedDiskMib } = node;
  const usedDisk = diskMib !== null && freeDiskMib !== null ? diskMib - freeDiskMib : null;
  const promised = promisedMemoryMib ?? reservedMemoryMib;
  return [
    ...(usedMemoryMib === null ? [] : [shareOf("Memory in use", usedMemoryMib, memoryMib)]),
    shareOf(promisedMemoryMib === null ? "Memory promised" : "Memory promised to all guests", promised, memoryMib),
    ...(usedDisk === null ? [] : [shareOf("Disk in use", usedDisk, diskMib)]),
    shareOf("Disk promised", reservedDiskMib, diskMib),
  ];
}

function shareOf(label: string, used: number, all: number | null): Share {
  const share = all ? used / all : null;
  const tone: Tone = share === null || share < 0.85 ? "busy" : share <= 1 ? "warn" : "bad";
  const text = all === null ? size(used) : `${size(used)} of ${size(all)}`;
  return { label, share, text: share !== null && share > 1 ? `${text}, more than there is` : text, tone };
}

function size(mib: number): string {
  return formatBytes(mib * MIB);
}

/** What the figures mean here: what a driver does not hold containers to is a promise alone. */
export function explainLimits({ enforced }: PlatformNodes): string | null {
  const held = new Set(enforced);
  if (held.has("memoryMib") && held.has("diskMib")) return null;
  return held.has("memoryMib")
    ? "Containers are held to their memory here, and not to their disk: what they are promised of that is a figure in the books."
    : "This driver holds containers to nothing: what they are promised is a figure in the books, and any of them may use all of the machine.";
}

const WORST: readonly PlatformNode["state"][] = ["unknown", "offline", "full", "maintenance", "online"];

/** The nodes, those first with which something is. */
export function sortNodes(nodes: readonly PlatformNode[]): PlatformNode[] {
  return [...nodes].sort((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || a.name.localeCompare(b.name));
}

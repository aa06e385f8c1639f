/** Versions of the agent and roll-outs in plain words; pure. An API of a later version knows more states. */
import type { FleetAgents, Rollout, RolloutMember } from "../api/types";
import type { Words } from "../layout/tone";
import type { Move } from "./agentQueries";

const STATES: Readonly<Record<string, Words>> = {
  running: { label: "Running", tone: "busy", meaning: "Containers are told, wave after wave." },
  paused: { label: "Paused", tone: "warn", meaning: "No further container is told. Those between two versions get to an end." },
  halted: { label: "Halted", tone: "bad", meaning: "It has stopped by itself, since too many failed." },
  done: { label: "Done", tone: "good", meaning: "Everybody who could be told was. Who comes back later is told then." },
  cancelled: { label: "Cancelled", tone: "quiet", meaning: "It was ended. Who had been updated stays so." },
  superseded: { label: "Superseded", tone: "quiet", meaning: "A newer roll-out has taken its place." },
};

export function describeRollout({ state }: Rollout): Words {
  return STATES[state] ?? { label: state, tone: "quiet", meaning: "" };
}

const MEMBERS: Readonly<Record<string, Words>> = {
  waiting: { label: "Waiting", tone: "quiet", meaning: "Its turn has not come, or it is off, offline or busy." },
  updating: { label: "Updating", tone: "busy", meaning: "Its agent fetches the version." },
  proving: { label: "Proving", tone: "busy", meaning: "The new agent runs, and has yet to prove itself." },
  updated: { label: "Updated", tone: "good", meaning: "The new agent runs." },
  undone: { label: "Went back", tone: "bad", meaning: "The new agent did not prove itself, and the former one runs again." },
  failed: { label: "Failed", tone: "bad", meaning: "It could not be brought to the version." },
  too_old: { label: "Too old", tone: "warn", meaning: "Its agent cannot be told. Restart the container from a newer template." },
  fixed: { label: "Fixed", tone: "quiet", meaning: "Its agent was started in a way in which it stays as it is." },
};
/** In the order in which a bar shows them. */
export const MEMBER_STATES = Object.keys(MEMBERS);

export function describeMember(state: string): Words {
  return MEMBERS[state] ?? { label: state, tone: "quiet", meaning: "" };
}

/** "1 updated, 2 waiting", those that are furthest first. */
export function countStates(counts: Readonly<Record<string, number>>): string {
  const order = ["updated", "proving", "updating", "failed", "undone", "waiting", "too_old", "fixed"];
  const states = Object.keys(counts).sort((a, b) => rank(order, a) - rank(order, b));
  return states.map((state) => `${counts[state] ?? 0} ${describeMember(state).label.toLowerCase()}`).join(", ") || "nobody";
}

function rank(order: readonly string[], state: string): number {
  const at = order.indexOf(state);
  return at < 0 ? order.length : at;
}

/** What the first wave is called, and the others by how much of all is told with them. */
export function nameWave({ waves }: Rollout, index: number): string {
  const share = waves[index]?.share ?? null;
  return share === null ? "First containers" : `Up to ${share} %`;
}

export interface MoveWords {
  move: Move;
  label: string;
  meaning: string;
  isEnd: boolean;
}

const MOVES: Readonly<Record<Move, Omit<MoveWords, "move">>> = {
  pause: { label: "Pause", meaning: "No further container is told until you go on.", isEnd: false },
  resume: { label: "Go on", meaning: "Further containers are told. Those that have failed so far count no more.", isEnd: false },
  retry: { label: "Try failures again", meaning: "Containers that failed are told once more, and the roll-out goes on.", isEnd: false },
  cancel: { label: "Cancel", meaning: "No further container is told, for good. Who has been updated stays so.", isEnd: true },
};

/** What can be done about a roll-out as it stands. */
export function movesOf(rollout: Rollout): MoveWords[] {
  const { state } = rollout;
  if (state === "cancelled" || state === "superseded") return [];
  const moves: Move[] = [];
  // One that is done still tells whoever comes back.
  if (state === "running" || state === "done") moves.push("pause");
  if (state === "paused" || state === "halted") moves.push("resume");
  if (countFailed(rollout) > 0) moves.push("retry");
  moves.push("cancel");
  return moves.map((move) => ({ move, ...MOVES[move] }));
}

export function countFailed({ waves }: Rollout): number {
  return waves.reduce((sum, { counts }) => sum + (counts["failed"] ?? 0) + (counts["undone"] ?? 0), 0);
}

export function isTroubled({ code, message }: RolloutMember): boolean {
  return code !== null || message !== null;
}

/** Versions that are offered and newer than some of the fleet, as the API has them; the default first. */
export function offeredVersions({ offers }: FleetAgents): string[] {
  return [...offers].sort((a, b) => Number(b.default) - Number(a.default)).map(({ version }) => version);
}

/** The numbers in what somebody has typed; null where something of it is none. */
export function parseVmids(text: string): number[] | null {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  return words.every((word) => /^[1-9]\d{0,8}$/.test(word)) ? [...new Set(words.map(Number))] : null;
}

/** Return what keeps agents of one version from being told of another, as sentences; none where nothing does. */
export function tellUnable({ tooOld, fixed }: Pick<FleetAgents["versions"][number], "tooOld" | "fixed">): string[] {
  const said: string[] = [];
  if (fixed > 0) said.push(`${fixed} ${fixed === 1 ? "was" : "were"} started from code that no roll-out replaces, as make dev starts them: bring that code to another version and restart them. The page of a container says where it lies.`);
  if (tooOld > 0) said.push(`${tooOld} ${tooOld === 1 ? "is" : "are"} too old to be told while they run: restart ${tooOld === 1 ? "its container" : "their containers"} from a newer template.`);
  return said;
}

/** Mods in words: what a plan comes to, how a mod is, who needs it; pure. */
import type { ModPlan, ModSeen, ModsReport, PlanMods, PlannedMod } from "../api/types";
import type { Words } from "../layout/tone";
import { formatBytes } from "../layout/words";

/** Installing, updating and removing nothing: what a wish begins with. */
export const NOTHING: PlanMods = { install: [], update: [], updateAll: false, remove: [], removeOrphans: true, channel: "release", reason: "", revision: null };

const CONDITIONS: Readonly<Record<NonNullable<ModSeen["condition"]>, Words>> = {
  intact: { label: "Intact", tone: "good", meaning: "Its file is the one that was installed." },
  changed: { label: "Changed", tone: "warn", meaning: "Its file is another one than was installed." },
  missing: { label: "Missing", tone: "bad", meaning: "Its file is not there; the server does without it." },
};

const ACTS: Readonly<Record<PlannedMod["act"], string>> = { install: "Install", update: "Update", remove: "Remove", keep: "Keep" };

/** Return how the file of a mod is; null where nobody has looked. */
export function describeCondition({ condition }: Pick<ModSeen, "condition">): Words | null {
  return condition === null ? null : CONDITIONS[condition];
}

/** "Install Sodium 0.6.1 (2 MiB)", "Update Lithium 0.1 to 0.2, needed by Sodium". */
export function describeLine({ act, title, before, after, size, neededBy }: PlannedMod): string {
  const versions = act === "update" ? ` ${before ?? "?"} to ${after ?? "?"}` : ` ${after ?? before ?? ""}`.trimEnd();
  const bytes = size > 0 && (act === "install" || act === "update") ? ` (${formatBytes(size)})` : "";
  return `${ACTS[act]} ${title}${versions}${bytes}${neededBy.length > 0 ? `, needed by ${neededBy.join(", ")}` : ""}`;
}

/** Return the lines of a plan that change anything. */
export function changesOf({ mods }: Pick<ModPlan, "mods">): PlannedMod[] {
  return mods.filter(({ act }) => act !== "keep");
}

/** Return the titles of mods that need this one, as the ledger knows them; a disabled mod needs nothing. */
export function whoNeeds(projectId: string, mods: readonly ModSeen[]): string[] {
  return mods.flatMap(({ entry }) => (entry.isEnabled && entry.file.needs.some((need) => need.kind === "required" && need.projectId === projectId) ? [entry.file.title] : []));
}

/** Return the last change, which can be undone; null where there is none. */
export function lastChange({ changes }: Pick<ModsReport, "changes">): ModsReport["changes"][number] | null {
  return changes.reduce<ModsReport["changes"][number] | null>((last, change) => (last === null || Date.parse(change.at) >= Date.parse(last.at) ? change : last), null);
}

/** Return how far a change is, in per cent; null where that is not known. */
export function percentOf(doneBytes: number, totalBytes: number): number | null {
  return totalBytes > 0 ? Math.min(100, Math.round((doneBytes / totalBytes) * 100)) : null;
}

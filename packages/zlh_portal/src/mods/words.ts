/** Mods in words: what a plan comes to, how a mod is, who needs it; pure. */
import { mayHeal } from "../api/query";
import type { ChangeProgress, ContainerStatus, FoundMod, ModPlan, ModSeen, ModsReport, OfferedVersion, PlanMods, PlannedMod, PlanProblem, ReleaseChannel } from "../api/types";
import type { Words } from "../layout/tone";
import { formatBytes, isolateOdd } from "../layout/words";

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
  const [old, next] = [before, after].map((version) => (version === null ? null : isolateOdd(version)));
  const versions = act === "update" ? ` ${old ?? "?"} to ${next ?? "?"}` : ` ${next ?? old ?? ""}`.trimEnd();
  const bytes = size > 0 && (act === "install" || act === "update") ? ` (${formatBytes(size)})` : "";
  return `${ACTS[act]} ${isolateOdd(title)}${versions}${bytes}${neededBy.length > 0 ? `, needed by ${neededBy.map(isolateOdd).join(", ")}` : ""}`;
}

/** Return the lines of a plan that change anything. */
export function changesOf({ mods }: Pick<ModPlan, "mods">): PlannedMod[] {
  return mods.filter(({ act }) => act !== "keep");
}

/** Return the titles of mods that need this one, as the ledger knows them; a disabled mod needs nothing. */
export function whoNeeds(projectId: string, mods: readonly ModSeen[]): string[] {
  return mods.flatMap(({ entry }) => (entry.isEnabled && entry.file.needs.some((need) => need.kind === "required" && need.projectId === projectId) ? [entry.file.title] : []));
}

/** Return the last change, the one that can be undone; null where there is none. By their order, as the agent goes: its clock may have been turned back. */
export function lastChange({ changes }: Pick<ModsReport, "changes">): ModsReport["changes"][number] | null {
  return changes.at(-1) ?? null;
}

/** Tell whether a change goes on, as far as anybody knows: where its agent knows it no more, it has ended one way or the other. */
export function goesOn({ state }: Pick<ChangeProgress, "state">, error: unknown): boolean {
  return state === "running" && (error === null || mayHeal(error));
}

/** Return why nothing can be changed now; null where it can. */
export function whyNoChange({ connection }: Pick<ContainerStatus, "connection">, isBusy: boolean): string | null {
  if (connection !== "online") return "The agent of this container is not heard now, and only it makes changes.";
  return isBusy ? "A change is being made." : null;
}

/** Return what was found, each once: between two pages the order may have moved. */
export function joinFound(pages: readonly { items: readonly FoundMod[] }[]): FoundMod[] {
  return [...new Map(pages.flatMap(({ items }) => items.map((item) => [item.projectId, item]))).values()];
}

/** The safest first; each takes what is safer, too. */
export const CHANNELS: readonly ReleaseChannel[] = ["release", "beta", "alpha"];

/** What is to be had of one project: the newest within a channel, or one version. */
export interface Choice {
  channel: ReleaseChannel;
  versionId: string | null;
}

/** Return the versions within a channel, in the order that they came in. */
export function versionsWithin(versions: readonly OfferedVersion[], channel: ReleaseChannel): OfferedVersion[] {
  return versions.filter((version) => CHANNELS.indexOf(version.channel) <= CHANNELS.indexOf(channel));
}

/** "0.6.1, beta", "0.5 (cannot be had: …)". */
export function describeOffered({ versionNumber, channel, trouble }: Pick<OfferedVersion, "versionNumber" | "channel" | "trouble">, isInstalled: boolean): string {
  const word = channel === "release" ? "" : `, ${channel}`;
  return `${isolateOdd(versionNumber)}${word}${isInstalled ? ", as it is" : ""}${trouble === null ? "" : ` (cannot be had: ${isolateOdd(trouble)})`}`;
}

/** Return the wish for one project: of what is there already, the newest is an update. */
export function wishFor(project: string, { channel, versionId }: Choice, isInstalled: boolean): PlanMods {
  if (isInstalled && versionId === null) return { ...NOTHING, update: [project], channel };
  return { ...NOTHING, install: [{ project, version: versionId, channel }] };
}

const ADVICE: Readonly<Record<string, string>> = {
  mods_conflict: "Choose a version of one of them that agrees with the others, or leave one of them out.",
  mods_incompatible: "Remove or disable one of the two first.",
  mods_same_file: "Leave one of the two out: one folder has room for one file of a name.",
  mods_too_many: "Remove some first.",
  mods_unsettled: "Ask for fewer of them at a time.",
  mod_not_found: "It was taken down, or was never there. Another version of the mod that needs it may do without.",
  mod_version_not_found: "Choose another version.",
  mod_none_fits: "Wait for its author, choose another mod, or change the version of the server to one that it is made for.",
  mod_none_in_channel: "Choose the channel above that has one, if you take the risk.",
  mod_does_not_fit: "Choose another version, or see that it works before others play.",
  mod_file_refused: "Choose another version; its author has published this one with a file that is not taken.",
  mod_client_only: "Players install it in their own game.",
  mod_wrong_kind: "Data packs and the like go into the server's folder by way of Files.",
  mod_pinned: "Unpin it first, if you mean it.",
  mod_still_needed: "Remove what needs it as well, or disable it.",
  mod_both_ways: "Ask for one thing at a time.",
  mod_external_need: "Put that file into the folder of the mods by way of Files.",
  mod_held_back: "An update of the mod that needs it sets it free.",
};

/** Return what to do about a problem of a plan; null where its sentence says it all. */
export function adviseProblem({ code }: Pick<PlanProblem, "code">): string | null {
  return ADVICE[code] ?? null;
}

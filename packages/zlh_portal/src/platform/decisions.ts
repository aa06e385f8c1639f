/** What can be decided about a published version, in words; pure. */
import type { DecidedVersion, DecideVersion, PublishedOffer, PublishedVersion } from "../api/types";
import { isolate } from "../layout/words";

export interface Decision {
  wish: DecideVersion;
  label: string;
  /** What follows from it, before it is made. */
  meaning: string;
}

/** Return what can be decided about one version, the likeliest first. */
export function decisionsFor(offer: PublishedOffer, { version, channel, default: isDefault }: PublishedVersion): Decision[] {
  const about = { kind: offer.kind, name: offer.name, version, makeDefault: false };
  const what = `${isolate(offer.title)} ${version}`;
  if (channel === "candidate") {
    return [
      { wish: { ...about, act: "promote" }, label: "Promote", meaning: `${what} becomes stable: everybody can install it. What is taken where nobody names a version stays.` },
      { wish: { ...about, act: "promote", makeDefault: true }, label: "Promote, as default", meaning: `${what} becomes stable, and is what everybody gets who names no version. Containers that are there stay as they are.` },
    ];
  }
  const stable = offer.versions.filter((each) => each.channel === "stable");
  return [
    ...(isDefault ? [] : [{ wish: { ...about, act: "default" as const }, label: "Make default", meaning: `${what} is what everybody gets from now on who names no version. Containers that are there stay as they are.` }]),
    ...(stable.length > 1
      ? [{ wish: { ...about, act: "demote" as const }, label: "Demote", meaning: `${what} is a candidate again, which installations for customers do not offer. Where it is installed it stays.${isDefault ? " Another stable version becomes the default." : ""}` }]
      : []),
  ];
}

/** The command that makes the same decision beside the key. */
export function commandFor({ act, kind, name, version, makeDefault }: DecideVersion, options: string): string {
  return ["zlh-api artifacts", act, name, version, "--kind", kind, ...(act === "promote" && makeDefault ? ["--default"] : []), options].join(" ");
}

/** What has become of it: "node 24.19.0 is stable, and the default now." */
export function tellDecided({ name, version, channel, default: after, defaultBefore, isChanged }: DecidedVersion): string {
  const state = channel === "stable" ? "stable" : "a candidate";
  if (!isChanged) return `${isolate(name)} ${version} was ${state} already.`;
  if (after === defaultBefore) return `${isolate(name)} ${version} is ${state}${after === version ? ", and the default" : ""}.`;
  return `${isolate(name)} ${version} is ${state}, and the default is ${after || "none"} now.`;
}

const GROUPS: readonly (readonly [title: string, holds: (offer: PublishedOffer) => boolean])[] = [
  ["Runtimes", ({ kind, forGames }) => kind === "runtime" && !forGames],
  ["Programs of game servers", ({ kind, forGames }) => kind === "runtime" && forGames],
  ["Addons", ({ kind }) => kind === "addon"],
  ["Agent", ({ kind }) => kind === "agent"],
];

/** The offers by what they are for; groups of which nothing is published are left out. */
export function groupOffers(offers: readonly PublishedOffer[]): { title: string; offers: PublishedOffer[] }[] {
  return GROUPS.map(([title, holds]) => ({ title, offers: offers.filter(holds) })).filter((group) => group.offers.length > 0);
}

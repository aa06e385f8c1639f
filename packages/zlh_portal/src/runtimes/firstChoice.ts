/** What the form for another runtime begins with; pure. */
import type { RuntimeOffer, RuntimeVersionOffer } from "../api/types";
import { preferredVersion } from "../catalog/choice";
import type { RuntimeChoice } from "../catalog/RuntimePicker";
import type { Group } from "./rows";

/** Tell whether a container has a version, or is to get it. */
export function isWanted(groups: readonly Group[], name: string, version: string): boolean {
  return groups.some((group) => group.name === name && group.rows.some((row) => row.version === version && row.isWanted));
}

/** Return the newest version that is not there yet of a language that is; else the first of the catalog that is not there. */
export function chooseFirst(offers: readonly RuntimeOffer[], groups: readonly Group[]): RuntimeChoice {
  const missing = offers.map((offer) => ({ ...offer, versions: offer.versions.filter(({ version }) => !isWanted(groups, offer.name, version)) })).filter(({ versions }) => versions.length > 0);
  const had = missing.find(({ name }) => groups.some((group) => group.name === name && group.rows.some((row) => row.isWanted)));
  if (had) return { runtime: had.name, version: newest(had.versions) };
  const first = missing[0] ?? offers[0];
  return { runtime: first?.name ?? null, version: preferredVersion(first) };
}

/** The catalog has the newest first; a candidate is nobody's choice while there is a stable one. */
function newest(versions: readonly RuntimeVersionOffer[]): string | null {
  return (versions.find(({ channel }) => channel === "stable") ?? versions[0])?.version ?? null;
}

/** Which runtime and version stand in the drop-downs at first; pure. */
import type { RuntimeOffer, RuntimeVersionOffer } from "../api/types";

/** Return the version that is taken when nobody chooses: the default, else the newest stable one, else the newest. */
export function preferredVersion(offer: RuntimeOffer | undefined): string | null {
  if (!offer) return null;
  const { versions } = offer;
  const stable = versions.find((entry) => entry.default) ?? versions.find((entry) => entry.channel === "stable");
  return (stable ?? versions[0])?.version ?? null;
}

/** Return how a version reads in a drop-down: "17.0.21 JDK (recommended)". */
export function labelOf(entry: RuntimeVersionOffer): string {
  const notes = [entry.default ? "recommended" : "", entry.channel === "candidate" ? "candidate" : ""].filter(Boolean);
  const name = entry.edition ? `${entry.version} ${entry.edition}` : entry.version;
  return notes.length > 0 ? `${name} (${notes.join(", ")})` : name;
}

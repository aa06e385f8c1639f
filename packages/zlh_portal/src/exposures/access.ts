/** Who may open a published port, and until when, in words; pure. */
import type { Exposure, Me } from "../api/types";

export type Visibility = Exposure["visibility"];
export type Kind = Exposure["kind"];

export const VISIBILITIES: readonly { value: Visibility; label: string; description: string }[] = [
  { value: "private", label: "Only me", description: "It opens for you, once you are signed in." },
  { value: "customer", label: "My team", description: "It opens for everybody who belongs to the customer and is signed in." },
  { value: "public", label: "Everybody", description: "It opens for everybody who knows the address." },
];

export const KINDS: readonly { value: Kind; label: string }[] = [
  { value: "http", label: "HTTP" },
  { value: "https", label: "HTTPS" },
];

const HOUR = 3600;
export const EXPIRIES: readonly { value: string; label: string; seconds: number | null }[] = [
  { value: "never", label: "Until I remove it", seconds: null },
  { value: "hour", label: "An hour", seconds: HOUR },
  { value: "day", label: "A day", seconds: 24 * HOUR },
  { value: "week", label: "A week", seconds: 7 * 24 * HOUR },
];

/** Stands for the end that a port has already. */
export const KEEP = "keep";

export function describeVisibility(value: Visibility): string {
  return VISIBILITIES.find((entry) => entry.value === value)?.description ?? "";
}

/** Return who may open a port, for the person who looks. */
export function describeViewers(exposure: Pick<Exposure, "visibility" | "publishedBy"> & { addon?: string | null }, me: { user: Pick<Me["user"], "id"> } | null | undefined): string {
  if (exposure.addon) return exposure.publishedBy === me?.user.id ? "You and owners" : "Owners and who enabled it";
  switch (exposure.visibility) {
    case "public":
      return "Everybody";
    case "customer":
      return "The team";
    case "private":
      if (exposure.publishedBy === null) return "Owners only";
      return exposure.publishedBy === me?.user.id ? "Only you" : "Its publisher alone";
  }
}

/** Say what a change takes from whom: a private port is that of whoever has published or changed it last. Null where nobody loses it. */
export function tellTaken(editing: Pick<Exposure, "visibility" | "publishedBy"> | null, wanted: Visibility, myId: string | undefined): string | null {
  if (editing?.visibility !== "private" || editing.publishedBy === null || editing.publishedBy === myId || wanted !== "private") return null;
  return "Somebody else has published it for themselves. It becomes yours with this, and opens for them no more.";
}

/** Return the seconds to ask for; what is kept ends when it would have ended, and no sooner than the API takes. */
export function secondsOf(choice: string, endsAt: string | null, now: number): number | null {
  if (choice !== KEEP) return EXPIRIES.find(({ value }) => value === choice)?.seconds ?? null;
  return endsAt === null ? null : Math.max(60, Math.round((Date.parse(endsAt) - now) / 1000));
}

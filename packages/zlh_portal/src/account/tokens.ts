/** How a token stands, in words; pure. */
import type { ApiToken } from "../api/types";
import type { Words } from "../layout/tone";

const SOON_MS = 7 * 86_400_000;

/** Return how it stands with the end of a token. */
export function describeExpiry({ expiresAt }: Pick<ApiToken, "expiresAt">, nowMs: number): Words {
  if (expiresAt === null) return { label: "Does not expire", tone: "warn", meaning: "It works until somebody deletes it." };
  const left = Date.parse(expiresAt) - nowMs;
  if (left <= 0) return { label: "Expired", tone: "bad", meaning: "It opens nothing any more." };
  return left < SOON_MS ? { label: "Expires soon", tone: "warn", meaning: "Make another one before it ends." } : { label: "Valid", tone: "good", meaning: "It works until it expires or is deleted." };
}

const DAY_S = 86_400;

/** How long a token may last; null for no end. */
export const EXPIRIES: readonly { value: string; label: string; seconds: number | null }[] = [
  { value: "1", label: "1 day", seconds: DAY_S },
  { value: "7", label: "7 days", seconds: 7 * DAY_S },
  { value: "30", label: "30 days", seconds: 30 * DAY_S },
  { value: "90", label: "90 days", seconds: 90 * DAY_S },
  { value: "365", label: "1 year", seconds: 365 * DAY_S },
  { value: "never", label: "No expiry", seconds: null },
];

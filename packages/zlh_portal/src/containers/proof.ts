/** The way from a public name to its container, link by link, in words; pure. */
import type { Proof, ProofLink } from "../api/types";
import { formatUntil } from "../layout/words";

export interface LinkRow {
  link: string;
  title: string;
  state: ProofLink["state"];
  /** What it is called beside its title; the state itself where there is more to say. */
  word: string;
  message: string | null;
  /** What a person can do about it; empty where nothing is wrong. */
  advice: string;
}

const TITLES: Readonly<Record<string, string>> = {
  agent: "Agent in the container",
  route: "Route at the proxy",
  dns: "DNS records",
  name: "Public name",
};

const WORDS: Readonly<Record<ProofLink["state"], string>> = {
  holds: "holds", doubtful: "in doubt", broken: "broken", unknown: "not known", skipped: "not needed",
};

const ADVICE: Readonly<Record<string, string>> = {
  agent_unreachable: "A restart of the container starts its agent anew.",
  route_not_loaded: "The platform writes the route again by itself. If it stays like this, an operator must look at the proxy.",
  records_not_answered: "The platform writes the records again by itself; other name servers may take minutes to follow.",
  name_not_answering: "What stands between browsers and the container does not lead there. An operator must look at the proxy and at its certificate.",
};
// Of what all containers lack, no customer can do anything.
const OUTAGE = "It is so for all containers. Operators see it, and nothing is lost by it.";

/** Return one row for each link, in the order in which a request depends on them; where all lack one, why is for operators. */
export function renderChain({ links, outages }: Pick<Proof, "links" | "outages">, isOperator: boolean): LinkRow[] {
  const away = new Set(outages.map(({ code }) => code));
  return links.map(({ link, state, code, message }) => ({
    link,
    title: titleOfLink(link),
    state,
    word: WORDS[state],
    message: isOperator || code === null || !away.has(code) ? message : null,
    advice: adviseLink({ state, code }, away),
  }));
}

function adviseLink({ state, code }: Pick<ProofLink, "state" | "code">, away: ReadonlySet<string>): string {
  if (code === null || state === "holds" || state === "skipped") return "";
  if (away.has(code)) return OUTAGE;
  if (state === "doubtful") return "It is looked at again within seconds.";
  return ADVICE[code] ?? "";
}

/** "DNS records at inside" for `dns:inside`; a link that this portal does not know keeps its name. */
export function titleOfLink(link: string): string {
  return link.startsWith("dns:") ? `${TITLES["dns"]} at ${link.slice(4)}` : (TITLES[link] ?? link);
}

/** The chain in one sentence: which link is the first that does not hold. */
export function summarizeChain({ links, outages, checkedAt }: Pick<Proof, "links" | "outages" | "checkedAt">): string {
  const broken = links.find(({ state }) => state === "broken") ?? links.find(({ state }) => state === "doubtful");
  if (broken) return `${titleOfLink(broken.link)}: ${WORDS[broken.state]}.`;
  if (outages.length > 0) return "Something that all containers need is away.";
  if (links.every(({ state }) => state === "skipped")) return "Nothing is looked at while the container need not answer.";
  if (links.some(({ state }) => state === "unknown")) return checkedAt === null ? "Every link was proved as the container became ready." : "Not everything was looked at yet.";
  return "Every link holds.";
}

/** Tell whether a look that was asked for has not been taken yet. */
export function isChecking({ askedAt, checkedAt }: Pick<Proof, "askedAt" | "checkedAt">): boolean {
  return askedAt !== null && (checkedAt === null || Date.parse(checkedAt) <= Date.parse(askedAt));
}

// The platform takes no second wish for a look at the same container within this time.
const PAUSE_MS = 5_500;
const LOST_MS = 60_000;
const DAY_MS = 86_400_000;

/** Tell whether a look may be asked for: none is under way, and the last one was not asked for a moment ago. */
export function mayCheckAgain(proof: Pick<Proof, "askedAt" | "checkedAt">, nowMs: number): boolean {
  if (proof.askedAt === null) return true;
  return nowMs - Date.parse(proof.askedAt) > PAUSE_MS && (!isChecking(proof) || isCheckLost(proof, nowMs));
}

/** Tell whether a look was asked for so long ago that nobody seems to take it. */
export function isCheckLost(proof: Pick<Proof, "askedAt" | "checkedAt">, nowMs: number): boolean {
  return isChecking(proof) && nowMs - Date.parse(proof.askedAt ?? "") > LOST_MS;
}

/** What is told of the certificate that a name shows; nothing while it is good for long. */
export function describeCertificate({ certificate }: Pick<Proof, "certificate">, nowMs: number): string {
  if (certificate === null) return "";
  const left = Date.parse(certificate.notAfter) - nowMs;
  if (left <= 0) return "Its certificate has run out, so browsers refuse it.";
  return left < 14 * DAY_MS ? `Its certificate runs out ${formatUntil(Date.parse(certificate.notAfter), nowMs)} and should have been renewed.` : "";
}

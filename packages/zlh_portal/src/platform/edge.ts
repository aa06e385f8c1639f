/** How the edge stands, in words; pure. */
import type { EdgeStatus, ShownCertificate } from "../api/types";
import type { Tone, Words } from "../layout/tone";
import { formatDuration, formatUntil } from "../layout/words";
import { staleAfterMs, type Verdict } from "./standing";

const FAULTS: Readonly<Record<string, string>> = {
  route_not_loaded: "Route not used by the proxy",
  name_not_answering: "Public name does not answer",
  records_not_answered: "DNS records not answered",
};

const OUTAGES: Readonly<Record<string, string>> = {
  proxy_away: "The proxy's API does not answer",
  routes_missing: "The proxy has lost the routes",
  names_silent: "No public name leads anywhere",
};

export function nameFault(fault: string): string {
  return FAULTS[fault] ?? fault.replaceAll("_", " ");
}

function nameOutage(code: string): string {
  return OUTAGES[code] ?? code.replaceAll("_", " ");
}

/** How things stand, honestly: what nobody has looked at, or not lately, is not called well. */
export function judgeEdge(edge: EdgeStatus, nowMs: number): Verdict {
  if (edge.lookedAt === null) return { tone: "warn", title: "Nobody has looked yet", detail: "The first look follows within seconds of the API's start." };
  const age = nowMs - Date.parse(edge.lookedAt);
  if (!edge.isAlive || age > staleAfterMs(edge.everyS)) {
    return { tone: "bad", title: "Nobody is looking", detail: `The last look was ${formatDuration(age)} ago; one is due every ${edge.everyS} s. The API's log says what hinders.` };
  }
  if (edge.outages.length > 0) return { tone: "bad", title: nameOutage(edge.outages[0]?.code ?? ""), detail: "All containers lack it, so none is called broken for it." };
  const broken = edge.faults.length + edge.faultsLeftOut;
  if (broken > 0) return { tone: "bad", title: broken === 1 ? "One container cannot be reached" : `${broken} containers cannot be reached`, detail: "" };
  const trouble = findTrouble(edge);
  if (trouble) return { tone: "warn", title: trouble, detail: "Every name leads to its container for now." };
  return { tone: "good", title: "Every name leads to its container", detail: "" };
}

function findTrouble({ certificates, files, providers, proxy }: EdgeStatus): string | null {
  if (certificates.some(({ isDue }) => isDue)) return "A certificate was not renewed in time";
  if (providers?.some(({ isReachable, trouble }) => !isReachable || trouble !== null)) return "A DNS provider is in trouble";
  if (files && files.trouble !== null) return "The directory of route files is in trouble";
  if (files && files.quarantined.length > 0) return "Foreign files were moved out of the way";
  if (proxy?.refused) return "The proxy refuses to use some routes";
  return null;
}

/** "all routes of 5000 containers, 312 of them by name, in 2.1 s". */
export function tellLook({ containers, asked, tookS }: EdgeStatus): string {
  const whole = containers === 1 ? "one container" : `${containers} containers`;
  return `all routes of ${whole}, ${asked || "none"} of them by name${tookS === null ? "" : `, in ${formatDuration(tookS * 1000)}`}`;
}

/** "one record", "12 records"; "no records" also where nobody could count them. */
export function countRecords(records: number | null): string {
  return records === 1 ? "one record" : `${records || "no"} records`;
}

export function describeCertificateEnd({ certificate, isDue }: ShownCertificate, nowMs: number): Words {
  const ends = Date.parse(certificate.notAfter);
  if (ends <= nowMs) return { label: "run out", tone: "bad", meaning: "Browsers refuse it. Look at the proxy's log for why it was not renewed." };
  const tone: Tone = isDue ? "warn" : "good";
  return { label: `ends ${formatUntil(ends, nowMs)}`, tone, meaning: isDue ? "It should have been renewed by now; the proxy's log says why it was not." : "It is renewed by itself." };
}

/** "*.example.org and 2 more". */
export function nameCertificate({ certificate, example }: ShownCertificate): string {
  const [first, ...others] = certificate.names;
  return others.length > 0 ? `${first ?? example} and ${others.length} more` : (first || example);
}

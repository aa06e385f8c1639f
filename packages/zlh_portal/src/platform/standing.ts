/** How the platform stands, in words: what the audit found, and how far the work is; pure. */
import type { AuditReport, AuditStatus, Finding, QueueFigures, WorkItem } from "../api/types";
import type { Tone, Words } from "../layout/tone";
import { formatDuration } from "../layout/words";

export interface Group {
  kind: string;
  title: string;
  meaning: string;
  tone: Tone;
  findings: Finding[];
}

const KINDS: Readonly<Record<string, { title: string; meaning: string }>> = {
  conflict: { title: "In the way", meaning: "Something else holds what a container of ours needs. Nothing of it is touched; a person must move it." },
  missing: { title: "Missing", meaning: "A container should have it, and it is not there." },
  drifted: { title: "Changed behind our back", meaning: "It is there, and is not as its container wants it." },
  orphan: { title: "Without a container", meaning: "It carries a mark of ours that no container has. What we have deleted ourselves is taken away; anything else waits for a person." },
  "nonconforming-name": { title: "Wrongly named", meaning: "It is ours, and has another name than we would give it." },
  stranger: { title: "Not ours", meaning: "It stands among what is ours. Its number and addresses are given to nobody." },
};
const SEVERITIES: Readonly<Record<string, Tone>> = { error: "bad", warning: "warn", note: "quiet" };
const RANK: readonly Tone[] = ["bad", "warn", "quiet"];

/** Return the findings by their kind, the worst group first; a kind that this portal does not know keeps its name. */
export function groupFindings(findings: readonly Finding[]): Group[] {
  const groups = new Map<string, Group>();
  for (const finding of findings) {
    const known = KINDS[finding.kind] ?? { title: finding.kind, meaning: "" };
    const tone = toneOf(finding);
    const group = groups.get(finding.kind) ?? { kind: finding.kind, ...known, tone, findings: [] };
    group.findings.push(finding);
    if (RANK.indexOf(tone) < RANK.indexOf(group.tone)) group.tone = tone;
    groups.set(finding.kind, group);
  }
  return [...groups.values()].sort((a, b) => RANK.indexOf(a.tone) - RANK.indexOf(b.tone));
}

function toneOf({ severity }: Finding): Tone {
  return SEVERITIES[severity] ?? "warn";
}

/** What stands before a finding's sentence: the thing by its number, name or place. */
export function nameFinding({ thing, vmid, name, where }: Finding): string {
  if (thing === "route") return name ?? "route file";
  if (vmid !== null) return `${thing} ${vmid}`;
  return name ?? where ?? thing;
}

/** Where it is and whose, as far as its sentence does not say so already. */
export function factsOf({ message, where, address, owner }: Finding): string[] {
  return [where, address, owner].filter((fact) => fact !== null).filter((fact) => !message.includes(fact));
}

export interface Verdict {
  tone: Tone;
  title: string;
  detail: string;
}

/** How things stand, honestly: what was never looked at, or not lately, is not called well. */
export function judge({ report, patrol }: AuditStatus, nowMs: number): Verdict {
  if (!report) return { tone: "warn", title: "Nobody has looked yet", detail: "The first look follows within seconds of the API's start." };
  const age = nowMs - Date.parse(report.lookedAt);
  if (!patrol.isAlive || age > staleAfterMs(patrol.everyS)) {
    return { tone: "bad", title: "Nobody is looking", detail: `The last look was ${formatDuration(age)} ago; one is due every ${patrol.everyS} s. The API's log says what hinders.` };
  }
  const away = troublesOf(report);
  const counting = report.findings.filter(({ severity }) => severity !== "note").length + report.leftOut;
  if (counting > 0) return { tone: "bad", title: counting === 1 ? "One thing is not as it should be" : `${counting} things are not as they should be`, detail: "" };
  if (away.length > 0) return { tone: "warn", title: "Not everything could be looked at", detail: "What was looked at is as it should be." };
  return { tone: "good", title: "All is as it should be", detail: "" };
}

/** A look that takes long, or a patrol that changes hands, is no alarm yet. */
export function staleAfterMs(everyS: number): number {
  return (everyS * 3 + 60) * 1000;
}

/** The systems that should have answered and did not. That there is no DNS provider is told, and is no trouble. */
function troublesOf({ parts }: AuditReport): AuditReport["parts"] {
  return parts.filter(({ name, trouble }) => trouble !== null && name !== "records");
}

const NOUNS: Readonly<Record<string, [string, string]>> = { guests: ["guest", "guests"], routes: ["route file", "route files"], records: ["DNS record", "DNS records"] };

/** What a part counts, in one and in many: of a DNS provider, `records:public`, its records. */
function nounsOf(name: string): [string, string] {
  const [part = name, provider] = name.split(":");
  const [one, many] = NOUNS[part] ?? [part, part];
  return provider ? [`${one} at ${provider}`, `${many} at ${provider}`] : [one, many];
}

export function namePart(name: string): string {
  return nounsOf(name)[1];
}

/** "14 containers, 14 guests, 15 route files". */
export function countLooked({ containers, parts }: AuditReport): string {
  const counts = parts.flatMap(({ name, count }) => (count === null ? [] : [plural(count, nounsOf(name))]));
  return [plural(containers, ["container", "containers"]), ...counts].join(", ");
}

const STATES: Readonly<Record<string, Words>> = {
  working: { label: "Working", tone: "busy", meaning: "A worker takes steps for it at this moment." },
  due: { label: "Due", tone: "busy", meaning: "It waits for a free worker." },
  waiting: { label: "Waiting", tone: "quiet", meaning: "Its turn at something that only one may use has not come." },
  held: { label: "Held back", tone: "bad", meaning: "A step failed; it is tried again, ever more slowly." },
  awaiting: { label: "Awaiting", tone: "busy", meaning: "It waits for its agent, or for what its agent installs." },
};

export function describeWork({ state }: WorkItem): Words {
  return STATES[state] ?? { label: state, tone: "quiet", meaning: "" };
}

/** When it is tried again; nothing where nobody can say. */
export function countDown({ nextTryAt }: WorkItem, nowMs: number): string | null {
  if (nextTryAt === null) return null;
  const left = Date.parse(nextTryAt) - nowMs;
  if (Number.isNaN(left)) return null;
  return left <= 0 ? "now" : `in ${formatDuration(Math.max(1000, left))}`;
}

export interface Figure {
  label: string;
  value: string;
  isAlarming: boolean;
}

const OLD_DUE_S = 60;

export function figuresOf(queue: QueueFigures): Figure[] {
  const counted: [string, number, boolean][] = [
    ["Settled", queue.settled, false],
    ["Working", queue.working, false],
    ["Due", queue.due, false],
    ["Waiting", queue.waiting, false],
    ["Awaiting", queue.awaiting, false],
    ["Held back", queue.held, queue.held > 0],
    ["Failing", queue.failing, queue.failing > 0],
  ];
  const oldest = queue.oldestDueS;
  return [
    ...counted.map(([label, value, isAlarming]) => ({ label, value: String(value), isAlarming })),
    { label: "Oldest due", value: oldest === null ? "–" : formatDuration(oldest * 1000), isAlarming: oldest !== null && oldest > OLD_DUE_S },
  ];
}

function plural(count: number, [one, many]: [string, string]): string {
  return `${count} ${count === 1 ? one : many}`;
}

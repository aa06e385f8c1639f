/** The steps of provisioning as rows that can be shown; pure. */
import type { ContainerStatus, Step } from "../api/types";
import { formatBytes, formatDuration } from "../layout/words";

const TITLES: Readonly<Record<string, string>> = {
  "reserve-address": "Reserve an address",
  "create-guest": "Create the container",
  "close-network": "Close its network",
  "resize-guest": "Set its limits",
  "put-identity": "Put in its identity",
  "start-guest": "Start the container",
  "connect-agent": "Connect to its agent",
  "send-spec": "Tell it what to install",
  "publish-route": "Publish the route",
  "confirm-route": "See the proxy use the route",
  "answer-dns": "See the name in DNS",
  "check-ready": "Open it from outside",
  "withdraw-route": "Withdraw the route",
  "stop-guest": "Stop the container",
  "destroy-guest": "Destroy the container",
  "release-address": "Release the address",
  forget: "Forget it",
  observe: "Look at the container",
};

export interface Row {
  name: string;
  title: string;
  state: Step["state"];
  /** How long it took, or has taken up to now; empty while that is not known. */
  duration: string;
  /** 0 to 100, or null where it cannot be measured. */
  percent: number | null;
  message: string | null;
  code: string | null;
  exitCode: number | null;
  output: string | null;
}

export interface Summary {
  settled: number;
  total: number;
  percent: number;
  current: string | null;
  hasFailed: boolean;
  isDone: boolean;
  /**
   * How long at least one step was under way. Not from the first start to the last end: a step that was done once more
   * much later, such as a route that changed, would count the time in between.
   */
  took: string | null;
}

/** Return the title of a step, also of one that this version has never heard of. */
export function titleOf(name: string): string {
  const known = TITLES[name];
  if (known) return known;
  const runtime = /^(install|remove)-(.+?)(?:-(\d[^-].*|\d))?$/.exec(name);
  if (runtime) return `${runtime[1] === "install" ? "Install" : "Remove"} ${[runtime[2], runtime[3]].filter(Boolean).join(" ")}`;
  const words = name.replaceAll(/[-_]+/g, " ").trim();
  return words ? words.charAt(0).toUpperCase() + words.slice(1) : "Unnamed step";
}

/** Return the steps that made the container, and those that are under way since, which take nothing from it. */
export function splitSteps({ steps, provisioningComplete }: Pick<ContainerStatus, "steps" | "provisioningComplete">): { first: Step[]; later: Step[] } {
  const isLater = ({ name, state }: Step) => provisioningComplete && /^(install|remove)-/.test(name) && state !== "done";
  return { first: steps.filter((step) => !isLater(step)), later: steps.filter(isLater) };
}

/** Return one row per step as of `nowMs`. */
export function renderRows(steps: readonly Step[], nowMs: number): Row[] {
  return steps.map((step) => ({
    name: step.name,
    title: titleOf(step.name),
    state: step.state,
    duration: durationOf(step, nowMs),
    percent: step.progress === null ? null : Math.round(Math.min(1, Math.max(0, step.progress)) * 100),
    message: step.message && readableBytes(step.message),
    code: step.code,
    exitCode: step.exitCode,
    output: step.output,
  }));
}

/** Return how far the whole list is. A running step counts by its progress. */
export function summarize(steps: readonly Step[]): Summary {
  const isSettled = (step: Step) => step.state === "done" || step.state === "skipped";
  const settled = steps.filter(isSettled).length;
  const running = steps.find((step) => step.state === "running");
  const share = running?.progress ?? 0;
  const isDone = steps.length > 0 && settled === steps.length;
  return {
    settled,
    total: steps.length,
    percent: steps.length === 0 ? 0 : Math.round(((settled + Math.min(1, Math.max(0, share))) / steps.length) * 100),
    current: running ? titleOf(running.name) : null,
    hasFailed: steps.some((step) => step.state === "failed"),
    isDone,
    took: isDone ? wholeDuration(steps) : null,
  };
}

/** Return what the reader can do about a failure. */
export function adviseOn(code: string, step: string, lifecycle: ContainerStatus["lifecycle"]): string {
  switch (code) {
    case "artifact_hash_mismatch":
    case "artifact_size_mismatch":
      return "The downloaded archive is not the one that was signed, so nothing of it was used. Tell your operator: the artifact server holds a wrong file.";
    case "artifact_unavailable":
    case "catalog_unavailable":
      return "The artifact server does not answer. The container tries again by itself; if it stays so, tell your operator.";
    case "catalog_expired":
    case "catalog_untrusted":
      return "The catalog's signatures are not valid, so nothing new is installed. Only an operator can mend this.";
    case "smoke_test_failed":
      return "The runtime was unpacked but did not run, so it was not put into use. Choose another version under Runtimes.";
    case "guest_foreign":
      return "Something that is not ours stands in this container's place, and it is left untouched. Only an operator can clear it.";
    case "not_in_catalog":
      return "This version has left the catalog. Choose one that is offered under Runtimes.";
    default:
      break;
  }
  if (step.startsWith("install-")) {
    return "Retry it under Runtimes, or choose another version there.";
  }
  return lifecycle === "error"
    ? "It is still tried again, with ever longer pauses. If it stays so, give your operator the code and the time."
    : "It is tried again in a moment; you need not do anything yet.";
}

/** The agent counts in bytes: "unpacking: 11796480 of 189774683 bytes". */
export function readableBytes(message: string): string {
  return message.replace(/(\d+) of (\d+) bytes/, (_, done: string, all: string) => `${formatBytes(Number(done))} of ${formatBytes(Number(all))}`);
}

function durationOf(step: Step, nowMs: number): string {
  const start = parse(step.startedAt);
  if (start === null || step.state === "pending" || step.state === "skipped") return "";
  const end = parse(step.finishedAt) ?? (step.state === "running" ? nowMs : null);
  return end === null ? "" : formatDuration(end - start);
}

function wholeDuration(steps: readonly Step[]): string | null {
  const spans = steps
    .flatMap((step) => {
      const start = parse(step.startedAt);
      const end = parse(step.finishedAt);
      return start === null || end === null ? [] : [{ start, end }];
    })
    .sort((a, b) => a.start - b.start);
  let covered = 0;
  let until = -Infinity;
  for (const { start, end } of spans) {
    covered += Math.max(0, end - Math.max(start, until));
    until = Math.max(until, end);
  }
  return spans.length > 0 ? formatDuration(covered) : null;
}

function parse(time: string | null): number | null {
  const ms = time === null ? NaN : Date.parse(time);
  return Number.isNaN(ms) ? null : ms;
}

/** The steps of provisioning as rows that can be shown; pure. */
import type { ContainerStatus, Step } from "../api/types";
import { percentOfShare } from "../layout/percent";
import { formatBytes, formatDuration } from "../layout/words";
import { isOfAddon, isOfRuntime, isOfWorkspace, isResize, titleOf } from "./stepNames";

export interface Row {
  name: string;
  title: string;
  state: Step["state"];
  /** How long it took, or has taken up to now; empty while that is not known. */
  duration: string;
  /** 0 to 100, or null where it cannot be measured. */
  percent: number | null;
  message: string | null;
  exitCode: number | null;
  output: string | null;
  /** It has not failed: what it needs is in use by another container or away, and it goes on by itself. */
  isWaiting: boolean;
  /** "failed 3 times, tried again in 12 s"; empty where it has not failed. */
  tries: string;
}

export interface Summary {
  settled: number;
  total: number;
  percent: number;
  current: string | null;
  hasFailed: boolean;
  isWaiting: boolean;
  isDone: boolean;
  /**
   * How long at least one step was under way. Not from the first start to the last end: a step that was done once more
   * much later, such as a route that changed, would count the time in between.
   */
  took: string | null;
}

/**
 * Return the steps that made the container, and those that are under way since, which take nothing from it. That it was
 * stopped once made nothing, and is told while it is under way, or on the way out. What is about the workspace is shown
 * with that.
 */
export function splitSteps({ steps, provisioningComplete, lifecycle }: Pick<ContainerStatus, "steps" | "provisioningComplete" | "lifecycle">): { first: Step[]; later: Step[] } {
  const isPast = ({ name, state }: Step) => name === "stop-guest" && state === "done" && lifecycle !== "deleting";
  const isLater = ({ name, state }: Step) => provisioningComplete && (isOfRuntime(name) || isResize(name) || isOfAddon(name)) && state !== "done";
  const others = steps.filter(({ name }) => !isOfWorkspace(name));
  return { first: others.filter((step) => !isLater(step) && !isPast(step)), later: others.filter(isLater) };
}

/** Return one row per step as of `nowMs`. */
export function renderRows(steps: readonly Step[], nowMs: number): Row[] {
  return steps.map((step) => ({
    name: step.name,
    title: titleOf(step.name),
    state: step.state,
    duration: durationOf(step, nowMs),
    percent: percentOfShare(step.progress),
    message: step.message && readableBytes(step.message),
    exitCode: step.exitCode,
    output: step.output,
    isWaiting: isWaiting(step),
    tries: tellTries(step, nowMs),
  }));
}

const WAITS = new Set(["slot_busy", "system_away"]);

/** Tell whether a step waits for its turn, or for a system that is away: nothing of it has failed. */
function isWaiting({ code, state }: Step): boolean {
  return state === "pending" && code !== null && WAITS.has(code);
}

/** Return how often a step has failed in a row and when it is tried again; empty where there is nothing to tell. */
export function tellTries(step: Step, nowMs: number): string {
  const { attempts, state } = step;
  if (state === "done" || state === "skipped" || isWaiting(step)) return "";
  if (state === "running") return attempts > 0 ? `try ${attempts + 1}` : "";
  return [attempts > 1 ? `failed ${attempts} times` : "", tellNextTry(step, nowMs)].filter(Boolean).join(", ");
}

/** "tried again in 12 s"; empty where that is not known. */
function tellNextTry({ nextTryAt, state }: Step, nowMs: number): string {
  const at = parse(nextTryAt);
  if (at === null || state !== "failed") return "";
  const left = Math.ceil((at - nowMs) / 1000);
  return left > 0 ? `tried again in ${formatDuration(left * 1000)}` : "tried again now";
}

/** Tell whether something of the list changes with time alone. */
export function isTicking(steps: readonly Step[]): boolean {
  return steps.some((step) => step.state === "running" || (step.state === "failed" && step.nextTryAt !== null));
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
    hasFailed: steps.some((step) => step.state === "failed" && !isWaiting(step)),
    isWaiting: steps.some(isWaiting),
    isDone,
    took: isDone ? wholeDuration(steps) : null,
  };
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

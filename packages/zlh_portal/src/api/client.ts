/** The one way to the API: the generated client, with every failure turned into an ApiError. */
import createClient from "openapi-fetch";
import { noteServerDate } from "../layout/clock";
import { comesFromElsewhere, elsewhere, isFromApi, parseProblem, unreachable } from "./problem";
import type { paths } from "./schema";
import { tell } from "./standing";

const TIMEOUT_MS = 30_000;
// All files of a runtime are read, from whatever disk the container has.
const VERIFY_TIMEOUT_MS = 200_000;
// All files of a game server, or of its mods, are read; a plan for mods asks elsewhere.
const GAME_TIMEOUT_MS = 200_000;
// A text goes to and fro over a slow line, and its disk may be slow too.
const FILES_TIMEOUT_MS = 120_000;

function timeoutOf({ url }: Request): number {
  if (/\/runtimes\/[^/]+\/verify$/.test(url)) return VERIFY_TIMEOUT_MS;
  if (/\/game\/\d+\/(verify|mods\/(verify|plan|identify)|mods)$/.test(url)) return GAME_TIMEOUT_MS;
  return /\/containers\/\d+\/files\b/.test(url) ? FILES_TIMEOUT_MS : TIMEOUT_MS;
}

async function fetchOrSay(request: Request): Promise<Response> {
  try {
    const response = await fetch(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(timeoutOf(request))]) });
    noteServerDate(response.headers.get("Date"), Date.now());
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    tell({ type: "no-answer" });
    throw unreachable();
  }
}

export const client = createClient<paths>({ baseUrl: window.location.origin, credentials: "same-origin", fetch: fetchOrSay });

client.use({
  async onResponse({ request, response }) {
    if (comesFromElsewhere(request.url, response)) {
      tell({ type: "no-answer" });
      throw elsewhere(response.status);
    }
    if (response.ok || response.status === 304) {
      tell({ type: "answer", nowMs: Date.now() });
      return;
    }
    const body: unknown = await response.json().catch(() => null);
    const problem = parseProblem(response.status, body);
    tell(isFromApi(problem) ? { type: "answer", nowMs: Date.now() } : { type: "no-answer" });
    throw problem;
  },
});

/** Return the body of an answer; failures have been thrown before. */
export async function take<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  return data as T;
}

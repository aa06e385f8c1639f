/** What a console can be of: where it is attached, why it cannot be, and where its kept output is read. */
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import type { ConsoleHistory } from "../api/types";
import type { Diagnosis } from "./farewell";
import { fetchTerminals, MAIN } from "./queries";

export interface HistoryQuery {
  from?: number;
  limit?: number;
  q?: string;
}

export type ReadHistory = (query: HistoryQuery, signal: AbortSignal) => Promise<ConsoleHistory>;

export interface ConsoleSource {
  kind: "terminal" | "process";
  /** Path of the socket; two sources of one path are the same console. */
  path: string;
  diagnose: () => Promise<Diagnosis>;
  /** Null where the API does not give it. */
  readHistory: ReadHistory | null;
}

/** Return the console of a terminal. */
export function terminalSource(vmid: number, terminal: string): ConsoleSource {
  const isMain = terminal === MAIN;
  return {
    kind: "terminal",
    path: isMain ? `/api/containers/${vmid}/console` : `/api/containers/${vmid}/terminals/${encodeURIComponent(terminal)}`,
    diagnose: () =>
      explain(async () => {
        const isThere = isMain || (await fetchTerminals(vmid)).some((entry) => entry.id === terminal);
        return isThere ? null : "This terminal no longer exists.";
      }),
    readHistory: isMain
      ? (query, signal) => take(client.GET("/api/containers/{vmid}/console/history", { params: { path: { vmid }, query }, signal }))
      : null,
  };
}

/** Return the console of a supervised process. */
export function processSource(vmid: number, process: string): ConsoleSource {
  const path = "/api/containers/{vmid}/processes/{process}/console/history";
  const readHistory: ReadHistory = (query, signal) => take(client.GET(path, { params: { path: { vmid, process }, query }, signal }));
  return {
    kind: "process",
    path: `/api/containers/${vmid}/processes/${encodeURIComponent(process)}/console`,
    // The history goes the same way as the socket, so it has the reason that the socket could not tell.
    diagnose: () => explain(async () => {
        await readHistory({ limit: 1 }, new AbortController().signal);
        return null;
      }),
    readHistory,
  };
}

/** Ask over HTTP why a socket did not open; `find` returns a reason that is final, or null, or throws what it was told. */
async function explain(find: () => Promise<string | null>): Promise<Diagnosis> {
  try {
    const reason = await find();
    return { reason, isFinal: reason !== null };
  } catch (error) {
    const { status, detail } = asApiError(error);
    return { reason: detail, isFinal: status === 401 || status === 403 || status === 404 };
  }
}

/** What a console can be of: where it is attached, why it cannot be, and where its kept output is read. */
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import type { ConsoleHistory } from "../api/types";
import type { Diagnosis } from "./farewell";
import { fetchTerminals } from "./queries";
import { MAIN } from "./tabs";

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
    path: isMain ? pathOfMain(vmid) : `/api/containers/${vmid}/terminals/${encodeURIComponent(terminal)}`,
    diagnose: () =>
      explain(async () => {
        // The main one is made where it is not, but not for everybody, nor in every container.
        const all = await fetchTerminals(vmid);
        return isMain || all.some((entry) => entry.id === terminal) ? null : "This terminal no longer exists.";
      }),
    readHistory: isMain ? historyOfMain(vmid) : null,
  };
}

/** Return the console of the server that a game container is for, which stands where others have their main terminal. */
export function serverSource(vmid: number): ConsoleSource {
  return sourceOfProcess(pathOfMain(vmid), historyOfMain(vmid));
}

/** Return the console of a supervised process. */
export function processSource(vmid: number, process: string): ConsoleSource {
  const path = "/api/containers/{vmid}/processes/{process}/console/history";
  const readHistory: ReadHistory = (query, signal) => take(client.GET(path, { params: { path: { vmid, process }, query }, signal }));
  return sourceOfProcess(`/api/containers/${vmid}/processes/${encodeURIComponent(process)}/console`, readHistory);
}

function sourceOfProcess(path: string, readHistory: ReadHistory): ConsoleSource {
  return {
    kind: "process",
    path,
    // The history goes the same way as the socket, so it has the reason that the socket could not tell.
    diagnose: () => explain(async () => {
        await readHistory({ limit: 1 }, new AbortController().signal);
        return null;
      }),
    readHistory,
  };
}

const pathOfMain = (vmid: number) => `/api/containers/${vmid}/console`;

function historyOfMain(vmid: number): ReadHistory {
  return (query, signal) => take(client.GET("/api/containers/{vmid}/console/history", { params: { path: { vmid }, query }, signal }));
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

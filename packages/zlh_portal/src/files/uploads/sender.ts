/** Sends one file by the tus protocol. What decides when to try again is the queue. */
import { type DetailedError, Upload } from "tus-js-client";
import { asApiError, parseProblem, unreachable } from "../../api/problem";
import type { Item, Problem } from "./queue";
import { prefixOf } from "./remembered";

export interface SenderEvents {
  onProgress: (sent: number) => void;
  onDone: () => void;
  /** Something has the name already. */
  onTaken: () => void;
  onFailed: (problem: Problem, mayPass: boolean, waitS?: number) => void;
}

// A lock of a connection that is dead, a moment without room, a wait that was asked for, and what passes by itself.
const MAY_PASS = new Set([408, 423, 425, 429, 460, 500, 502, 503, 504]);
// These pass too: what was lost between is asked for, and a container that is off for a moment comes back.
const CODES_PASS = new Set(["upload_offset_wrong", "body_cut_off", "container_off"]);
// The rest of it lies there, and room can be made; nobody should wait for it by himself.
const STAYS = new Set(["disk_full", "no_room_on_disk"]);

interface Sent {
  file: File;
  chunkBytes: number;
  userId: string;
}

/** Return an upload that has not begun; the same file of the same person for the same place goes on where an earlier one was left. */
export function makeUpload(item: Item, { file, chunkBytes, userId }: Sent, events: SenderEvents): Upload {
  return new Upload(file, {
    endpoint: `/api/containers/${item.vmid}/files/uploads`,
    chunkSize: chunkBytes,
    uploadDataDuringCreation: true,
    // Whoever was cut off is told by the queue when to try again.
    retryDelays: null,
    removeFingerprintOnSuccess: true,
    metadata: {
      root: item.root, path: item.path, overwrite: String(item.overwrite), parents: "true",
      ...(file.lastModified > 0 ? { modifiedAt: new Date(file.lastModified).toISOString() } : {}),
    },
    fingerprint: () => Promise.resolve([prefixOf(userId), item.vmid, item.root, item.path, String(item.overwrite), file.size, file.lastModified].join("|")),
    onProgress: (sent) => events.onProgress(sent),
    onSuccess: () => events.onDone(),
    onError: (error) => tell(error, events),
  });
}

/** Begin it, where an earlier one was left if there is one, if it is wanted still by then. */
export async function beginUpload(upload: Upload, isWanted: () => boolean): Promise<void> {
  const [latest] = (await upload.findPreviousUploads()).sort((a, b) => b.creationTime.localeCompare(a.creationTime));
  if (!isWanted()) return;
  if (latest) upload.resumeFromPreviousUpload(latest);
  upload.start();
}

function tell(error: Error | DetailedError, events: SenderEvents): void {
  const answer = "originalResponse" in error ? error.originalResponse : null;
  if (!answer) {
    // Without an answer the way is broken; a file that cannot be read any more never gets as far as a request.
    const isRead = "originalRequest" in error;
    events.onFailed(isRead ? problemOf(unreachable()) : { code: "file_unreadable", detail: "The browser cannot read this file any more. Choose it again." }, isRead);
    return;
  }
  const problem = parseProblem(answer.getStatus(), parseJson(answer.getBody()));
  if (problem.code === "file_exists") events.onTaken();
  else events.onFailed(problemOf(problem), mayPass(problem), Number(answer.getHeader("Retry-After")) || 0);
}

/** Tell whether it may go on later by itself. */
function mayPass({ code, status }: { code: string; status: number }): boolean {
  return CODES_PASS.has(code) || (MAY_PASS.has(status) && !STAYS.has(code));
}

function problemOf(error: unknown): Problem {
  const { code, detail } = asApiError(error);
  return { code, detail };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The live stream of containers (SSE), opened again for ever; who listens falls back to polling in between. */
import type { ContainerStatus, HistoryEntry } from "../api/types";
import { parseEntry } from "../history/kinds";

export interface Listener {
  onOpen(): void;
  onLost(): void;
  onContainer(status: ContainerStatus): void;
  onDeleted(vmid: number): void;
  onEntry(vmid: number, entry: HistoryEntry): void;
  onCatalog(): void;
  onRollout(): void;
}

const REOPEN_MS = 4_000;
// Browsers allow six HTTP/1.1 connections to a host, so a page that nobody looks at gives its stream back.
const HIDDEN_FOR_MS = 20_000;

/** Listen until the returned function is called. */
export function listen(listener: Listener): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const open = () => {
    clearTimeout(timer);
    if (source) return;
    source = new EventSource("/api/events");
    source.onopen = () => listener.onOpen();
    source.onerror = () => {
      listener.onLost();
      // A refused stream is closed for good by the browser; a broken one it opens again by itself.
      if (source?.readyState === EventSource.CLOSED) close(REOPEN_MS);
    };
    source.addEventListener("container", ({ data }: MessageEvent<string>) => {
      const status = parseEvent(data);
      if (status) listener.onContainer(status as ContainerStatus);
    });
    source.addEventListener("container-deleted", ({ data }: MessageEvent<string>) => {
      const deleted = parseEvent(data);
      if (deleted) listener.onDeleted(deleted.vmid);
    });
    source.addEventListener("catalog", () => listener.onCatalog());
    source.addEventListener("rollout", () => listener.onRollout());
    source.addEventListener("container-event", ({ data }: MessageEvent<string>) => {
      const event = parseEvent(data);
      const entry = parseEntry(event?.["entry"]);
      if (event && entry) listener.onEntry(event.vmid, entry);
    });
  };
  const close = (reopenMs?: number) => {
    source?.close();
    source = null;
    clearTimeout(timer);
    if (reopenMs !== undefined) timer = setTimeout(open, reopenMs);
  };
  const onVisibility = () => {
    clearTimeout(timer);
    if (!document.hidden) {
      open();
      return;
    }
    timer = setTimeout(() => {
      close();
      listener.onLost();
    }, HIDDEN_FOR_MS);
  };

  document.addEventListener("visibilitychange", onVisibility);
  open();
  return () => {
    document.removeEventListener("visibilitychange", onVisibility);
    close();
  };
}

/** Return the object of an event if it is about a container, else null. */
export function parseEvent(data: string): ({ vmid: number } & Record<string, unknown>) | null {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value !== "object" || value === null || !("vmid" in value)) return null;
    return typeof value.vmid === "number" ? (value as { vmid: number } & Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

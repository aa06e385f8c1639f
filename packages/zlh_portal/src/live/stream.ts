/** The live stream of containers (SSE), opened again for ever; who listens falls back to polling in between. */
import type { ContainerStatus, HistoryEntry } from "../api/types";
import { onWake, wake } from "../api/wake";
import { parseEntry } from "../history/kinds";

export interface Listener {
  onOpen(): void;
  onLost(): void;
  onContainer(status: ContainerStatus): void;
  onDeleted(vmid: number): void;
  onEntry(vmid: number, entry: HistoryEntry): void;
  onCatalog(): void;
  onRollout(): void;
  onRights(): void;
}

// The API says something every 15 s: nothing for three times as long, and the way to it is dead without anybody having said so.
const SILENT_MS = 50_000;
const LOOK_MS = 5_000;
const REOPEN_MS = 4_000;
// Browsers allow six HTTP/1.1 connections to a host, so a page that nobody looks at gives its stream back.
const HIDDEN_FOR_MS = 20_000;

/** Listen until the returned function is called. */
export function listen(listener: Listener): () => void {
  let source: EventSource | null = null;
  let reopening: ReturnType<typeof setTimeout> | undefined;
  let hiding: ReturnType<typeof setTimeout> | undefined;
  let heardAt = Date.now();
  const hear = () => (heardAt = Date.now());

  const open = () => {
    clearTimeout(reopening);
    if (source) return;
    source = new EventSource("/api/events");
    hear();
    source.onopen = () => {
      hear();
      listener.onOpen();
    };
    for (const kind of ["container", "container-deleted", "container-event", "catalog", "still-here"]) source.addEventListener(kind, hear);
    source.onerror = () => {
      listener.onLost();
      // A refused stream is closed for good by the browser; a broken one it opens again by itself.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      // One that nobody looks at waits until somebody does.
      if (!document.hidden) reopening = setTimeout(open, REOPEN_MS);
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
    source.addEventListener("rights", () => listener.onRights());
    source.addEventListener("container-event", ({ data }: MessageEvent<string>) => {
      const event = parseEvent(data);
      const entry = parseEntry(event?.["entry"]);
      if (event && entry) listener.onEntry(event.vmid, entry);
    });
  };
  const close = () => {
    source?.close();
    source = null;
    clearTimeout(reopening);
  };
  const onVisibility = () => {
    clearTimeout(hiding);
    if (!document.hidden) {
      open();
      return;
    }
    hiding = setTimeout(() => {
      close();
      listener.onLost();
    }, HIDDEN_FOR_MS);
  };

  const openAnew = () => {
    if (!source) return;
    close();
    listener.onLost();
    open();
  };
  const watchdog = setInterval(() => {
    // All that came over the same way is as dead.
    if (source && Date.now() - heardAt > SILENT_MS) wake();
  }, LOOK_MS);
  const sleepless = onWake(openAnew);
  document.addEventListener("visibilitychange", onVisibility);
  open();
  // It may have been opened in the background.
  onVisibility();
  return () => {
    document.removeEventListener("visibilitychange", onVisibility);
    clearInterval(watchdog);
    sleepless();
    clearTimeout(hiding);
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

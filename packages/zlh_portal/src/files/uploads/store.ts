/** Drives the queue: performs its effects, feeds back how they went, and tells whoever shows it. */
import type { Upload } from "tus-js-client";
import { type Effect, type Event, hasEnded, type Item, type Place, START, type State, step } from "./queue";
import type { Chosen } from "./chosen";

export interface Uploads {
  getState: () => State;
  subscribe: (listener: () => void) => () => void;
  add: (place: Place, files: readonly Chosen[], chunkBytes: number) => void;
  tell: (event: Event) => void;
  /** Let uploads run, until what this returns is called; `onLanded` hears of each file that stands where it shall. */
  open: (onLanded: (item: Item) => void) => () => void;
}

/** Make the uploads of one session of a person. */
export function makeUploads(userId: string): Uploads {
  let state = START;
  let isOpen = false;
  let onLanded: (item: Item) => void = () => undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const files = new Map<number, { file: File; chunkBytes: number }>();
  const running = new Map<number, Upload>();
  // What was stopped in the middle, and lies half there until it goes on or is thrown away.
  const paused = new Map<number, Upload>();
  const listeners = new Set<() => void>();

  const tell = (event: Event) => {
    if (!isOpen) return;
    const [next, effects] = step(state, event, Date.now());
    state = next;
    for (const effect of effects) perform(effect);
    for (const listener of listeners) listener();
  };

  const perform = (effect: Effect) => {
    switch (effect.type) {
      case "send":
        void send(effect.item);
        break;
      case "stop":
        pause(effect.id);
        break;
      case "discard":
        pause(effect.id);
        // What cannot be removed there now expires by itself.
        paused.get(effect.id)?.abort(true).catch(() => undefined);
        forget(effect.id);
        break;
      case "forget":
        forget(effect.id);
        break;
      case "landed":
        onLanded(effect.item);
        break;
      case "wake":
        clearTimeout(timer);
        timer = setTimeout(() => tell({ type: "woken", isBack: false }), Math.max(0, effect.at - Date.now()));
    }
  };

  const pause = (id: number) => {
    const upload = running.get(id);
    if (!upload) return;
    void upload.abort();
    running.delete(id);
    paused.set(id, upload);
  };

  const forget = (id: number) => {
    for (const map of [running, paused, files]) map.delete(id);
  };

  const send = async (item: Item) => {
    const chosen = files.get(item.id);
    if (!chosen) return;
    const { id } = item;
    const { makeUpload, beginUpload } = await import("./sender");
    const upload = makeUpload(item, { file: chosen.file, chunkBytes: chosen.chunkBytes, userId }, {
      // What an upload tells after it was stopped is not about the one that followed it.
      onProgress: (sent) => running.get(id) === upload && tell({ type: "progress", id, sent }),
      onDone: () => running.get(id) === upload && tell({ type: "finished", id }),
      onTaken: () => running.get(id) === upload && tell({ type: "taken", id }),
      onFailed: (problem, mayPass, waitS = 0) => running.get(id) === upload && tell({ type: "failed", id, problem, mayPass, waitS }),
    });
    // After each wait: its session may be over, and the next call would be made as somebody else.
    const isWanted = () => isOpen && state.items.find((one) => one.id === id)?.phase === "sending";
    if (!isWanted()) return;
    paused.delete(id);
    running.set(id, upload);
    await beginUpload(upload, isWanted);
  };

  const onOnline = () => tell({ type: "woken", isBack: true });
  const onLeave = (event: BeforeUnloadEvent) => {
    if (state.items.some((item) => !hasEnded(item))) event.preventDefault();
  };

  return {
    getState: () => state,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add: (place, chosen, chunkBytes) => {
      chosen.forEach(({ file }, index) => files.set(state.nextId + index, { file, chunkBytes }));
      tell({ type: "added", place, files: chosen.map(({ path, file }) => ({ path, size: file.size })) });
    },
    tell,
    open: (hear) => {
      isOpen = true;
      onLanded = hear;
      window.addEventListener("online", onOnline);
      window.addEventListener("beforeunload", onLeave);
      return () => {
        isOpen = false;
        clearTimeout(timer);
        for (const upload of running.values()) void upload.abort();
        window.removeEventListener("online", onOnline);
        window.removeEventListener("beforeunload", onLeave);
      };
    },
  };
}

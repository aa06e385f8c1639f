/**
 * Tells when what was open before can no longer be trusted: the machine has slept, or has another network. A connection
 * is dead then without anybody having closed it, and a browser finds out in minutes, or never.
 */
const LOOK_MS = 5_000;
// A tab in the background has its timers held back to one a minute.
const SLEPT_MS = 75_000;

const listeners = new Set<() => void>();
let stop: (() => void) | null = null;

/** Tell whoever listens that connections may be dead. */
export function wake(): void {
  [...listeners].forEach((listener) => listener());
}

/** Call `listener` after each such moment, until the returned function is called. */
export function onWake(listener: () => void): () => void {
  listeners.add(listener);
  stop ??= look();
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    stop?.();
    stop = null;
  };
}

function look(): () => void {
  let last = Date.now();
  const timer = setInterval(() => {
    const now = Date.now();
    if (now - last > SLEPT_MS) wake();
    last = now;
  }, LOOK_MS);
  window.addEventListener("online", wake);
  return () => {
    clearInterval(timer);
    window.removeEventListener("online", wake);
  };
}

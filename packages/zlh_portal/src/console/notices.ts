/** What an agent tells people at a console beside its output; pure. */

/** One notice as it comes. */
export interface Told {
  code: string;
  message: string;
}

/** One that is shown, until somebody puts it away. */
export interface Notice extends Told {
  id: number;
}

// More than this nobody reads; the oldest go.
export const MAX_NOTICES = 5;

/** Return the list with one more at its end; what it says already is said once, as the newest. */
export function addNotice(notices: readonly Notice[], told: Told): Notice[] {
  const id = notices.reduce((highest, notice) => Math.max(highest, notice.id), 0) + 1;
  const others = notices.filter((notice) => notice.message !== told.message);
  return [...others, { ...told, id }].slice(-MAX_NOTICES);
}

/** Return the list without one. */
export function dropNotice(notices: readonly Notice[], id: number): Notice[] {
  return notices.filter((notice) => notice.id !== id);
}

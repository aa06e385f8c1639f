/** Listens for the keys of the whole page. */
import { useEffect, useEffectEvent, useRef } from "react";
import { currentStanding } from "../api/standing";
import { type Act, type BindingGroup, type Pending, type Place, takePress } from "./keys";

/** A terminal and the editor take every key; so does whatever says so of itself. */
const PROGRAMS = ".xterm, .cm-editor";
/** ComeBack is an element of the browser's own, which has no such attribute. */
const DIALOGS = "[role='dialog'], [role='menu'], dialog[open]";
const FIELDS = "input, textarea, select, [contenteditable='true']";

function placeOf(target: EventTarget | null): Place {
  if (!(target instanceof Element)) return "page";
  if (target.closest(PROGRAMS)) return "program";
  // One that is kept hidden, for when its right comes back, takes no keys.
  if ([...document.querySelectorAll(DIALOGS)].some((each) => each.checkVisibility())) return "dialog";
  return target.closest(FIELDS) ? "field" : "page";
}

export function useKeys(groups: readonly BindingGroup[], onAct: (act: Act) => void): void {
  const pending = useRef<Pending | null>(null);
  const take = useEffectEvent((event: KeyboardEvent) => {
    // A key that is held, that something else has used, or that only changes what another one means.
    if (event.repeat || event.defaultPrevented || event.isComposing || ["Shift", "Control", "Meta", "Alt"].includes(event.key)) return;
    // Nothing of the page is for who has to come back to it first.
    if (currentStanding().hasEnded) return;
    const press = { key: event.key, hasCommand: event.ctrlKey || event.metaKey, hasAlt: event.altKey, place: placeOf(event.target), at: event.timeStamp };
    const step = takePress(pending.current, press, groups);
    pending.current = step.pending;
    if (step.act === null) return;
    event.preventDefault();
    onAct(step.act);
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => take(event);
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

/** Put the cursor into the field that filters what the page lists, where there is one. */
export function focusFilter(): void {
  const field = document.querySelector<HTMLInputElement>("#main input[type='search']");
  field?.focus();
  field?.select();
}

/** Ties one console to an element of the page, for as long as that is shown. */
import { useQueryClient } from "@tanstack/react-query";
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { ME } from "../api/query";
import { useStanding } from "../api/standing";
import { onWake } from "../api/wake";
import type { Missed } from "./input";
import { ConsoleLink } from "./link";
import { START, type State } from "./machine";
import { addNotice, dropNotice, type Notice } from "./notices";
import { openScreen, type XtermScreen } from "./screen";
import type { ConsoleSource } from "./source";

/** How something is typed that is no key. */
const TYPING = ["paste", "compositionend"] as const;

export interface Console {
  /** Where the terminal is drawn. */
  element: RefObject<HTMLDivElement | null>;
  state: State;
  /** What was typed and not taken, as far as it is known. */
  missed: Missed | null;
  /** What the agent has told beside the output and nobody has put away. */
  notices: readonly Notice[];
  dismiss: (id: number) => void;
  reconnect: () => void;
  /** Empty the screen; what is kept stays. */
  wipe: () => void;
}

/** `source` must stay the same object for as long as it is the same console. */
export function useConsole(source: ConsoleSource): Console {
  const element = useRef<HTMLDivElement>(null);
  const link = useRef<ConsoleLink | null>(null);
  const shown = useRef<XtermScreen | null>(null);
  const [state, setState] = useState(START);
  const [missed, setMissed] = useState<Missed | null>(null);
  const [notices, setNotices] = useState<readonly Notice[]>([]);
  const queries = useQueryClient();

  useEffect(() => {
    if (!element.current) return;
    const screen = openScreen(element.current);
    const current = new ConsoleLink(source.path, screen, source.diagnose, setState, setMissed, (told) => setNotices((now) => addNotice(now, told)));
    link.current = current;
    shown.current = screen;
    // The terminal gives out its own answers to programs in the same way as what somebody types, pastes or composes.
    let isTyped = false;
    const noteTyped = () => (isTyped = true);
    const { current: place } = element;
    for (const act of TYPING) place.addEventListener(act, noteTyped, { capture: true });
    const listeners = [
      screen.terminal.onKey(noteTyped),
      screen.terminal.onData((text) => {
        current.send(text, isTyped);
        isTyped = false;
      }),
      screen.terminal.onBinary((text) => current.sendBinary(text)),
      screen.terminal.onResize(() => current.sendSize()),
    ];
    const observer = new ResizeObserver(() => screen.fit());
    observer.observe(element.current);
    current.open();
    // Who opens a terminal is about to type; who looks at a process may be on the way to its buttons.
    if (source.kind === "terminal") screen.terminal.focus();
    return () => {
      observer.disconnect();
      for (const act of TYPING) place.removeEventListener(act, noteTyped, { capture: true });
      current.close();
      setMissed(null);
      setNotices([]);
      link.current = null;
      shown.current = null;
      for (const listener of listeners) listener.dispose();
      screen.terminal.dispose();
    };
  }, [source]);

  // What was refused here is refused elsewhere: the page learns what one may still do.
  const isRefused = state.phase === "refused";
  useEffect(() => {
    if (isRefused) void queries.invalidateQueries({ queryKey: ME });
  }, [isRefused, queries]);

  // A socket that has died in somebody's sleep says nothing; what was printed meanwhile is fetched from where it stopped.
  useEffect(() => onWake(() => link.current?.retryNow()), []);
  // Who had to sign in again comes back to a console that was refused meanwhile.
  const hasEnded = useStanding((standing) => standing.hasEnded);
  const hadEnded = useRef(false);
  useEffect(() => {
    if (hadEnded.current && !hasEnded) link.current?.retryNow();
    hadEnded.current = hasEnded;
  }, [hasEnded]);

  const reconnect = useCallback(() => link.current?.retryNow(), []);
  const wipe = useCallback(() => shown.current?.terminal.clear(), []);
  const dismiss = useCallback((id: number) => setNotices((now) => dropNotice(now, id)), []);
  return { element, state, missed, notices, dismiss, reconnect, wipe };
}

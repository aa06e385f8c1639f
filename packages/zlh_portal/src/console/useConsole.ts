/** Ties one terminal of a container to an element of the page, for as long as that is shown. */
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { ConsoleLink } from "./link";
import { START, type State } from "./machine";
import { diagnose, pathOf } from "./queries";
import { openScreen } from "./screen";

export interface Console {
  /** Where the terminal is drawn. */
  element: RefObject<HTMLDivElement | null>;
  state: State;
  reconnect: () => void;
}

export function useConsole(vmid: number, terminal: string): Console {
  const element = useRef<HTMLDivElement>(null);
  const link = useRef<ConsoleLink | null>(null);
  const [state, setState] = useState(START);

  useEffect(() => {
    if (!element.current) return;
    const screen = openScreen(element.current);
    const current = new ConsoleLink(pathOf(vmid, terminal), screen, () => diagnose(vmid, terminal), setState);
    link.current = current;
    const listeners = [
      screen.terminal.onData((text) => void current.send(text)),
      screen.terminal.onBinary((text) => void current.sendBinary(text)),
      screen.terminal.onResize(() => current.sendSize()),
    ];
    const observer = new ResizeObserver(() => screen.fit());
    observer.observe(element.current);
    current.open();
    screen.terminal.focus();
    return () => {
      observer.disconnect();
      current.close();
      link.current = null;
      for (const listener of listeners) listener.dispose();
      screen.terminal.dispose();
    };
  }, [vmid, terminal]);

  const reconnect = useCallback(() => link.current?.retryNow(), []);
  return { element, state, reconnect };
}

/** One terminal with the line below it that tells how it is connected. */
import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import type { Connection } from "../api/types";
import classes from "./console.module.css";
import { useConsole } from "./useConsole";
import { describeConsole } from "./words";

interface Props {
  vmid: number;
  terminal: string;
  label: string;
  connection: Connection;
  /** Ends the terminal for good; null for the main one, whose shell begins anew by itself. */
  onClose: (() => void) | null;
}

export function TerminalPane({ vmid, terminal, label, connection, onClose }: Props) {
  const { element, state, reconnect } = useConsole(vmid, terminal);
  const { kind, text, action } = describeConsole(state, connection, useNow(state.phase === "waiting"));
  return (
    <section className={classes["pane"]} aria-label={label} data-testid="terminal">
      <div ref={element} className={classes["screen"]} />
      <div className={classes["bar"]} data-kind={kind} data-testid="terminal-state" role="status">
        <span className={classes["dot"]} aria-hidden="true" />
        <span className="numbers">{text}</span>
        {action && <Button size="compact-xs" variant="white" onClick={reconnect}>{action}</Button>}
        {kind === "ended" && onClose && <Button size="compact-xs" variant="white" onClick={onClose}>Close</Button>}
      </div>
    </section>
  );
}

/** The browser's own clock, which the pauses between attempts are measured by. */
function useNow(isTicking: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [isTicking]);
  return now;
}

/** One console with the line below it that tells how it is connected, and what can be done with its output. */
import { Button, Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";
import type { Connection } from "../api/types";
import classes from "./console.module.css";
import { DownloadButton } from "./DownloadButton";
import { describeMissed } from "./input";
import { NoticeList } from "./NoticeList";
import { SearchPanel } from "./SearchPanel";
import type { ConsoleSource } from "./source";
import { useConsole } from "./useConsole";
import { describeConsole } from "./words";

interface Props {
  /** The same object for as long as it is the same console. */
  source: ConsoleSource;
  label: string;
  connection: Connection;
  /** Ends the console for good; null for one that begins anew by itself. */
  onClose: (() => void) | null;
}

export function ConsolePane({ source, label, connection, onClose }: Props) {
  const { element, state, missed, notices, dismiss, reconnect, wipe } = useConsole(source);
  const [isSearching, search] = useDisclosure(false);
  const { kind, text, action } = describeConsole(state, connection, useNow(state.phase === "waiting"), source.kind);
  const { readHistory } = source;
  const searchButton = useRef<HTMLButtonElement>(null);
  const leaveSearch = () => {
    search.close();
    searchButton.current?.focus();
  };
  return (
    <section className={classes["pane"]} aria-label={label} data-testid="terminal">
      {isSearching && readHistory && <SearchPanel path={source.path} readHistory={readHistory} onClose={leaveSearch} />}
      <div ref={element} className={classes["screen"]} />
      <NoticeList notices={notices} onDismiss={dismiss} />
      <div className={classes["bar"]} data-kind={kind} data-testid="terminal-state">
        <span className={classes["dot"]} aria-hidden="true" />
        <span className={`${classes["words"] ?? ""} numbers`} role="status">{text}</span>
        {missed && <span className={classes["missed"]} role="alert" data-testid="terminal-missed">{describeMissed(missed)}</span>}
        {action && <Button size="compact-xs" variant="white" onClick={reconnect}>{action}</Button>}
        {kind === "ended" && onClose && <Button size="compact-xs" variant="white" onClick={onClose}>Close</Button>}
        <Group gap={4} ml="auto" wrap="nowrap" className={classes["tools"] ?? ""}>
          {readHistory && <Button ref={searchButton} size="compact-xs" variant="subtle" color="gray" aria-expanded={isSearching} onClick={search.toggle}>Search</Button>}
          {readHistory && <DownloadButton readHistory={readHistory} fileName={`${label.replaceAll(/[^\w-]+/g, "-").toLowerCase()}.log`} />}
          <Button size="compact-xs" variant="subtle" color="gray" title="Empties this screen alone; what is kept stays" onClick={wipe}>Clear screen</Button>
        </Group>
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

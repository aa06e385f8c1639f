/** A folder as a grid: only the rows in view are drawn, the keyboard goes from row to row, the focus stays at the grid. */
import { ActionIcon, Checkbox, Skeleton, Text } from "@mantine/core";
import { useElementSize, useMergedRef } from "@mantine/hooks";
import { type KeyboardEvent, type MouseEvent, useEffect, useEffectEvent, useId, useRef, useState } from "react";
import { TimeAgo } from "../layout/TimeAgo";
import { formatBytes } from "../layout/words";
import type { FileEntry } from "../api/types";
import classes from "./files.module.css";
import { KindIcon } from "./icons";
import { showName } from "./names";
import { showMode } from "./rights";
import { type Order, rowsInView, scrollToRow, type SortBy, turnOrder } from "./rows";
import { type Selection, select, type SelectionEvent } from "./selection";

const ROW_PX = 40;
const TYPING_MS = 900;
const KINDS = { file: "file", dir: "folder", link: "link", other: "special file" } as const;
const COLUMNS: readonly { by: SortBy; label: string; className?: string }[] = [
  { by: "name", label: "Name" }, { by: "size", label: "Size", className: "size" }, { by: "modified", label: "Modified", className: "modified" }, { by: "rights", label: "Rights", className: "rights" },
];

interface Props {
  label: string;
  entries: readonly FileEntry[];
  /** More of it than `entries` is still to come. */
  hasMore: boolean;
  isFetching: boolean;
  order: Order;
  selection: Selection;
  hrefOf: (entry: FileEntry) => string;
  onOrder: (order: Order) => void;
  onSelect: (selection: Selection) => void;
  onOpen: (entry: FileEntry) => void;
  onUp: () => void;
  onKey: (key: "rename" | "delete") => void;
  onMenu: (at: { x: number; y: number }) => void;
  onMore: () => void;
}

export function FileGrid({ label, entries, hasMore, isFetching, order, selection, hrefOf, onOrder, onSelect, onOpen, onUp, onKey, onMenu, onMore }: Props) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const { ref: sizeRef, height } = useElementSize<HTMLDivElement>();
  const ref = useMergedRef(box, sizeRef);
  const [scrollTop, setScrollTop] = useState(0);
  const typed = useRef({ text: "", at: 0 });
  const names = entries.map(({ name }) => name);
  const [first, end] = rowsInView(scrollTop, height || 600, ROW_PX, entries.length);
  const row = selection.at === null ? -1 : names.indexOf(selection.at);

  const askForMore = useEffectEvent(() => {
    if (hasMore && !isFetching && (order.by === "rights" || end >= entries.length - 50)) onMore();
  });
  useEffect(() => askForMore(), [end, entries.length, hasMore, isFetching, order.by]);

  useEffect(() => {
    if (row === -1 || !box.current) return;
    const inner = box.current.clientHeight;
    box.current.scrollTop = scrollToRow(row, box.current.scrollTop, inner, ROW_PX);
  }, [row]);

  const tell = (event: SelectionEvent) => {
    const next = select(selection, event, names);
    onSelect(next);
    return next;
  };
  const chosenEntry = () => entries[row];
  const openMenuAtRow = () => {
    const element = document.getElementById(`${id}-${row}`)?.getBoundingClientRect();
    if (!element || selection.at === null) return;
    tell({ type: "menu", name: selection.at });
    onMenu({ x: element.left + 60, y: element.bottom });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== box.current) return;
    const command = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor(height / ROW_PX) - 1);
    const how = event.shiftKey ? "range" : command ? "at" : "only";
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const by = steps[event.key];
    const entry = chosenEntry();
    if (by !== undefined && !event.altKey) tell({ type: "move", by, how });
    else if (command && event.key.toLowerCase() === "a") tell({ type: "all" });
    else if (event.key === "Escape") tell({ type: "none" });
    else if (event.key === " " && selection.at !== null) tell({ type: "pick", name: selection.at, how: event.shiftKey ? "range" : "toggle" });
    else if (event.key === "Enter" && entry) onOpen(entry);
    else if (event.key === "Backspace" || (event.altKey && event.key === "ArrowUp")) onUp();
    else if (event.key === "F2") onKey("rename");
    else if (event.key === "Delete") onKey("delete");
    else if (event.key === "ContextMenu" || (event.shiftKey && event.key === "F10")) openMenuAtRow();
    else if (event.key.length === 1 && !command && !event.altKey) typeAhead(event.key, event.timeStamp);
    else return;
    event.preventDefault();
  };
  const typeAhead = (letter: string, now: number) => {
    const text = now - typed.current.at > TYPING_MS ? letter : typed.current.text + letter;
    typed.current = { text, at: now };
    tell({ type: "type", beginning: text });
  };
  const onRowClick = (event: MouseEvent, name: string) => {
    tell({ type: "pick", name, how: event.shiftKey ? "range" : event.ctrlKey || event.metaKey ? "toggle" : "only" });
    box.current?.focus({ preventScroll: true });
  };

  return (
    <div className={classes["grid"]}>
      <div
        ref={ref} className={classes["scroll"]} role="grid" tabIndex={0} aria-label={label} aria-multiselectable aria-rowcount={hasMore ? -1 : entries.length + 1} aria-busy={isFetching}
        aria-activedescendant={row === -1 ? undefined : `${id}-${row}`} onKeyDown={onKeyDown} onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)} data-testid="file-grid"
      >
        <div className={`${classes["cells"]} ${classes["head"]}`} role="row" aria-rowindex={1}>
          <span role="columnheader">
            <Checkbox
              size="xs" tabIndex={-1} aria-label="Choose all" checked={entries.length > 0 && selection.chosen.size === entries.length} indeterminate={selection.chosen.size > 0 && selection.chosen.size < entries.length}
              onChange={() => tell({ type: selection.chosen.size === entries.length ? "none" : "all" })}
            />
          </span>
          {COLUMNS.map(({ by, label: title, className }) => (
            <span key={by} role="columnheader" className={className && classes[className]} aria-sort={order.by !== by ? "none" : order.descending ? "descending" : "ascending"}>
              <button type="button" className={classes["sort"]} onClick={() => onOrder(turnOrder(order, by))}>{title}<span aria-hidden="true">{order.by !== by ? "" : order.descending ? " ↓" : " ↑"}</span></button>
            </span>
          ))}
          <span role="columnheader" aria-label="Actions" />
        </div>
        <div role="rowgroup" className={classes["rows"]} style={{ height: entries.length * ROW_PX }}>
          {entries.slice(first, end).map((entry, index) => {
            const at = first + index;
            const isChosen = selection.chosen.has(entry.name);
            const shown = showName(entry.name);
            return (
              <div
                key={entry.name} id={`${id}-${at}`} role="row" aria-rowindex={at + 2} aria-selected={isChosen} className={`${classes["cells"]} ${classes["row"]}`} style={{ transform: `translateY(${at * ROW_PX}px)` }}
                data-at={entry.name === selection.at || undefined} data-chosen={isChosen || undefined} data-testid={`file-${entry.name}`}
                onClick={(event) => onRowClick(event, entry.name)} onDoubleClick={() => onOpen(entry)}
                onContextMenu={(event) => {
                  event.preventDefault();
                  tell({ type: "menu", name: entry.name });
                  onMenu({ x: event.clientX, y: event.clientY });
                }}
              >
                <span role="gridcell" onClick={(event) => event.stopPropagation()}>
                  <Checkbox size="xs" tabIndex={-1} aria-label={`Choose ${shown}`} checked={isChosen} onChange={() => tell({ type: "pick", name: entry.name, how: "toggle" })} />
                </span>
                <span role="gridcell" className={classes["name"]}>
                  <KindIcon kind={entry.kind} name={entry.name} />
                  <a
                    href={hrefOf(entry)} tabIndex={-1} title={shown} draggable={false}
                    onClick={(event) => {
                      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) {
                        event.preventDefault();
                        return;
                      }
                      event.preventDefault();
                      event.stopPropagation();
                      onOpen(entry);
                    }}
                  >
                    <bdi>{shown}</bdi>
                  </a>
                  <span className="visually-hidden">{KINDS[entry.kind]}</span>
                  {entry.target !== undefined && <Text span size="xs" c="dimmed" truncate className={classes["target"] ?? ""}>→ <bdi>{showName(entry.target)}</bdi></Text>}
                </span>
                <span role="gridcell" className={`${classes["size"]} numbers`}>{entry.kind === "file" ? formatBytes(entry.size) : ""}</span>
                <span role="gridcell" className={classes["modified"]}><TimeAgo time={entry.modifiedAt} /></span>
                <span role="gridcell" className={`${classes["rights"]} mono`} title={entry.mode}>{entry.kind === "link" ? "" : showMode(entry.mode)}</span>
                <span role="gridcell" onClick={(event) => event.stopPropagation()} onDoubleClick={(event) => event.stopPropagation()}>
                  <ActionIcon
                    variant="subtle" color="gray" size="md" tabIndex={-1} aria-label={`Actions of ${shown}`} aria-haspopup="menu"
                    onClick={(event) => {
                      const place = event.currentTarget.getBoundingClientRect();
                      tell({ type: "menu", name: entry.name });
                      onMenu({ x: place.left, y: place.bottom });
                    }}
                  >
                    ⋮
                  </ActionIcon>
                </span>
              </div>
            );
          })}
        </div>
        {isFetching && hasMore && <Skeleton h={ROW_PX - 12} m={6} role="status" aria-label="Loading more" />}
      </div>
    </div>
  );
}

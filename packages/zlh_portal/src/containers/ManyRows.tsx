/** The rows of a long list: those that are in sight, and a few beside them. */
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import type { ContainerStatus } from "../api/types";
import { ContainerRow } from "./ContainerRow";
import classes from "./containers.module.css";

const ROW_PX = 62;
const BESIDE = 12;

export interface RowsProps {
  items: readonly ContainerStatus[];
  /** Of customers by their id; null where all belong to one. */
  names: ReadonlyMap<string, string> | null;
}

export function ManyRows({ items, names }: RowsProps) {
  const list = useRef<HTMLUListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({
    count: items.length, estimateSize: () => ROW_PX, overscan: BESIDE, scrollMargin: top, getItemKey: (at) => items[at]?.vmid ?? at,
  });
  return (
    <ul ref={list} className={classes["list"]} aria-label="Containers" style={{ height: rows.getTotalSize(), position: "relative" }}>
      {rows.getVirtualItems().map(({ index, key, start }) => {
        const status = items[index];
        if (!status) return null;
        return (
          <li
            key={key} ref={rows.measureElement} data-index={index} aria-setsize={items.length} aria-posinset={index + 1}
            className={classes["place"]} style={{ transform: `translateY(${start - top}px)` }}
          >
            <ContainerRow status={status} customer={names?.get(status.customerId) ?? null} />
          </li>
        );
      })}
    </ul>
  );
}

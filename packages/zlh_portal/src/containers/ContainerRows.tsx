/** The rows of the list, however many there are. */
import { Paper, Skeleton } from "@mantine/core";
import { Suspense } from "react";
import { lazily } from "../layout/lazily";
import { ContainerRow } from "./ContainerRow";
import classes from "./containers.module.css";
import type { RowsProps } from "./ManyRows";

// What shows a part of a list is much, and most lists are shorter.
const ManyRows = lazily("ManyRows", () => import("./ManyRows"));
/** So many are all in the page, where the browser's own search finds them. */
const ALL_SHOWN = 100;

export function ContainerRows({ items, names }: RowsProps) {
  return (
    <Paper p={0}>
      <div className={`${classes["row"] ?? ""} ${classes["head"] ?? ""}`} aria-hidden="true">
        <span>Name</span><span>State</span><span>Runtimes</span><span>Address</span><span>Created</span>
      </div>
      {items.length > ALL_SHOWN ? (
        <Suspense fallback={<Skeleton h={620} role="status" aria-label="Loading the rows" />}><ManyRows items={items} names={names} /></Suspense>
      ) : (
        <ul className={classes["list"]} aria-label="Containers">
          {items.map((status) => <li key={status.vmid}><ContainerRow status={status} customer={names?.get(status.customerId) ?? null} /></li>)}
        </ul>
      )}
    </Paper>
  );
}

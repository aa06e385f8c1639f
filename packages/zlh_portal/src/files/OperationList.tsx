/** Work on files that goes on, with what it came to and what it left out. */
import { Button, CloseButton, Group, Paper, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Bar } from "../layout/Bar";
import { percentOf } from "../layout/percent";
import { tellProblem } from "../layout/tell";
import { cancelOperation } from "./calls";
import type { FileOperation } from "../api/types";
import classes from "./files.module.css";
import { showName } from "./names";
import { describeAmount, describeOperation, describeSkipped } from "./operations";
import { isRunning, useOperations, useRefreshAfterWork, useRefreshFiles } from "./queries";
import { Said } from "../layout/Said";

const SHOWN = 5;
// What has ended is worth telling while somebody was waiting for it; what only counts is told where it was asked for.
const QUIET = new Set(["measure", "checksum"]);

export function OperationList({ vmid, since, mayCancel }: { vmid: number; since: number; mayCancel: boolean }) {
  const query = useOperations(vmid);
  const refresh = useRefreshAfterWork(vmid);
  const [dismissed, setDismissed] = useState<ReadonlySet<string>>(new Set());
  const items = (query.data ?? []).filter((operation) => !QUIET.has(operation.kind) && !dismissed.has(operation.id));
  const running = items.filter(isRunning);
  const ended = items.filter((operation) => !isRunning(operation) && isWorthTelling(operation, since));
  const count = running.length;
  // Each one that ends has changed what is shown.
  useEffect(() => () => {
    if (count > 0) refresh();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [count]);
  if (running.length + ended.length === 0) return null;
  return (
    <Paper p="sm" data-testid="operations">
      <ul className={classes["list"]} aria-label="Work on files">
        {running.map((operation) => <Running key={operation.id} vmid={vmid} operation={operation} mayCancel={mayCancel} />)}
        {ended.slice(0, SHOWN).map((operation) => <Ended key={operation.id} operation={operation} onDismiss={() => setDismissed(new Set([...dismissed, operation.id]))} />)}
      </ul>
    </Paper>
  );
}

/** What went well and at once is seen in the folder; what failed, took long or left something out is told. */
function isWorthTelling({ state, startedAt, finishedAt, result }: FileOperation, since: number): boolean {
  const end = Date.parse(finishedAt ?? startedAt);
  if (!(end >= since)) return false;
  return state !== "done" || (result?.skippedCount ?? 0) > 0 || end - Date.parse(startedAt) > 2_000;
}

function Running({ vmid, operation, mayCancel }: { vmid: number; operation: FileOperation; mayCancel: boolean }) {
  const refresh = useRefreshFiles(vmid);
  const cancel = useMutation({ mutationFn: () => cancelOperation(vmid, operation.id), onSettled: refresh, onError: tellProblem("It goes on") });
  const percent = percentOf(operation);
  const title = describeOperation(operation);
  return (
    <li data-testid={`operation-${operation.kind}`} data-state={operation.state}>
      <Group gap="sm" wrap="nowrap" justify="space-between">
        <Text size="sm" truncate>{title}…</Text>
        <Group gap="sm" wrap="nowrap" flex="none" maw="70%">
          <Text size="xs" c="dimmed" className="numbers">{describeAmount(operation)}</Text>
          {mayCancel && <Button size="compact-xs" variant="default" flex="none" loading={cancel.isPending} onClick={() => cancel.mutate()}>Cancel</Button>}
        </Group>
      </Group>
      <Bar mt={4} size="sm" percent={percent} label={title} />
    </li>
  );
}

function Ended({ operation, onDismiss }: { operation: FileOperation; onDismiss: () => void }) {
  const { state, message, result } = operation;
  return (
    <li data-testid={`operation-${operation.kind}`} data-state={state} role="status">
      <Group gap="sm" wrap="nowrap" justify="space-between" align="flex-start">
        <div style={{ minWidth: 0 }}>
          <Text size="sm" {...(state === "failed" ? { c: "red" } : {})} style={{ overflowWrap: "anywhere" }}>{describeOperation(operation)}</Text>
          <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>{message === null ? describeAmount(operation) : <Said text={message} />}</Text>
          {result && result.skippedCount > 0 && (
            <details>
              <summary><Text span size="xs" c="orange">{result.skippedCount.toLocaleString("en")} left out</Text></summary>
              <ul className={classes["list"]}>
                {result.skipped.map(({ path, code }) => <li key={path}><Text size="xs" style={{ overflowWrap: "anywhere" }}><bdi className="mono">{showName(path)}</bdi>: {describeSkipped(code)}</Text></li>)}
                {result.skippedCount > result.skipped.length && <li><Text size="xs" c="dimmed">and {(result.skippedCount - result.skipped.length).toLocaleString("en")} more</Text></li>}
              </ul>
            </details>
          )}
        </div>
        <CloseButton size="sm" aria-label="Dismiss" onClick={onDismiss} />
      </Group>
    </li>
  );
}

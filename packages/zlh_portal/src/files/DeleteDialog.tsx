/** Asks before entries are gone for good: named, and counted where folders are among them. */
import { List, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { formatBytes, isolate } from "../layout/words";
import { AskDialog } from "./AskDialog";
import { deleteFile, fetchOperation, measureFolder, type Place } from "./calls";
import type { FileEntry, FileOperation } from "../api/types";
import { FILES } from "./keys";
import { showName } from "./names";
import { joinPath } from "./paths";
import { useChange } from "./queries";
import { countEntries, countOf } from "./rows";

const NAMED = 6;
const COUNTED = 8;
const LOOK_AGAIN_MS = 600;

interface Props {
  place: Place;
  folder: string;
  entries: readonly FileEntry[];
  onDone: () => void;
  onClose: () => void;
}

export function DeleteDialog({ place, folder, entries, onDone, onClose }: Props) {
  const change = useChange<undefined, unknown>(place.vmid, async () => {
    for (const { name } of entries) await deleteFile(place, joinPath(folder, name));
  });
  const [first] = entries;
  const inside = useContents(place, entries.filter(({ kind }) => kind === "dir").slice(0, COUNTED).map(({ name }) => joinPath(folder, name)));
  const what = entries.length === 1 && first ? isolate(showName(first.name)) : countEntries(entries);
  return (
    <AskDialog title={`Delete ${what}?`} action="Delete for good" failure="Not all of it was deleted" isRed isPending={change.isPending} error={change.error} onClose={onClose} onConfirm={() => change.mutate(undefined, { onSuccess: onDone })}>
      {entries.length > 1 && (
        <List size="sm">
          {entries.slice(0, NAMED).map(({ name, kind }) => <List.Item key={name} style={{ overflowWrap: "anywhere" }}><bdi>{showName(name)}</bdi>{kind === "dir" ? "/" : ""}</List.Item>)}
          {entries.length > NAMED && <List.Item>and {(entries.length - NAMED).toLocaleString("en")} more</List.Item>}
        </List>
      )}
      {inside && <Text size="sm" role="status" data-testid="delete-count">{inside}</Text>}
      <Text size="sm">There is no bin: what is deleted is gone. Links are deleted, not what they lead to.</Text>
    </AskDialog>
  );
}

/** Return what is in some folders together, in words; null where there are none. It is counted while one reads. */
function useContents(place: Place, paths: readonly string[]): string | null {
  const counts = useQueries({
    queries: paths.map((path) => ({
      queryKey: [`${FILES}-measure`, place.vmid, place.root, path], gcTime: 0, staleTime: "static", retry: false,
      queryFn: ({ signal }: { signal: AbortSignal }) => countFolder(place, path, signal),
    })),
  });
  if (paths.length === 0) return null;
  if (counts.some(({ isPending }) => isPending)) return "Counting what is in it…";
  const results = counts.flatMap(({ data }) => (data?.result ? [data.result] : []));
  if (results.length < paths.length) return "What is in it could not be counted.";
  const sum = (of: (result: NonNullable<FileOperation["result"]>) => number | null) => results.reduce((all, result) => all + (of(result) ?? 0), 0);
  const parts = [countOf(sum(({ files }) => files), "file"), countOf(sum(({ folders }) => folders), "folder")].filter(Boolean);
  return `In ${paths.length === 1 ? "it" : "these folders"}: ${parts.length > 0 ? `${parts.join(" and ")}, ${formatBytes(sum(({ bytes }) => bytes))}` : "nothing"}.`;
}

async function countFolder(place: Place, path: string, signal: AbortSignal): Promise<FileOperation> {
  let operation = await measureFolder(place, path);
  while (operation.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    operation = await fetchOperation(place.vmid, operation.id, signal);
  }
  return operation;
}

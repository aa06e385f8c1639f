/** Asks where entries shall be moved or copied, or an archive unpacked: typed, or found by going through folders. */
import { Button, Group, ScrollArea, Select, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { asApiError } from "../api/problem";
import { forgetOutcome } from "../api/query";
import { Said } from "../layout/Said";
import { isolate } from "../layout/words";
import { AskDialog } from "./AskDialog";
import { copyFile, extractArchive, makeFolder, moveFile, type Place } from "./calls";
import type { FileEntry, Overwrite } from "../api/types";
import { renderOtherName, showName, splitEnding } from "./names";
import { isWithin, joinPath, parentOf, resolvePath } from "./paths";
import { useChange, useFolder } from "./queries";
import { BY_NAME, countEntries, joinEntries } from "./rows";

interface Props {
  place: Place;
  folder: string;
  kind: "move" | "copy" | "extract";
  entries: readonly FileEntry[];
  onDone: () => void;
  onClose: () => void;
}

const OVERWRITES: { value: Overwrite; label: string }[] = [
  { value: "refuse", label: "Do nothing where a name is taken" },
  { value: "skip", label: "Keep what is there, add the rest" },
  { value: "replace", label: "Replace what is there" },
];
const ACTIONS = { move: "Move", copy: "Copy", extract: "Extract" } as const;
const NOT_DONE = { move: "moved", copy: "copied", extract: "extracted" } as const;

export function PlaceDialog({ place, folder, kind, entries, onDone, onClose }: Props) {
  const first = entries[0];
  const [typed, setTyped] = useState(() => `/${beginWith(kind, folder, entries)}`);
  const [overwrite, setOverwrite] = useState<Overwrite>("refuse");
  const target = resolvePath(folder, typed);
  const change = useChange<string, unknown>(place.vmid, async (to) => {
    if (!first) return;
    const path = joinPath(folder, first.name);
    if (kind === "extract") return extractArchive(place, path, to, overwrite);
    if (kind === "copy") return copyFile(place, path, to, overwrite);
    if (to !== "") await makeFolder(place, to, true);
    // One after the other, so that what is refused is known by its name and nothing after it has gone.
    for (const { name } of entries) await moveFile(place, joinPath(folder, name), joinPath(to, name), overwrite === "replace");
  });
  const what = entries.length === 1 && first ? isolate(showName(first.name)) : countEntries(entries);
  const isInto = target !== null && kind !== "extract" && entries.some(({ kind: is, name }) => is === "dir" && isWithin(target, joinPath(folder, name)));
  const problem = target === null ? "That leads out of this root." : isInto ? "A folder cannot be put into itself." : kind === "move" && target === folder ? "It is there already." : null;
  const label = kind === "copy" ? "As" : "Into the folder";
  return (
    <AskDialog
      title={`${ACTIONS[kind]} ${what}`} action={ACTIONS[kind]} failure={`It was not ${NOT_DONE[kind]}`} isPending={change.isPending} error={change.error} isReady={problem === null} onClose={onClose}
      onConfirm={() => target !== null && change.mutate(target, { onSuccess: onDone })}
    >
      <TextInput
        label={label} data-autofocus autoComplete="off" spellCheck={false} value={typed} error={problem} description={kind === "extract" ? "It is made where it is not there." : null}
        onChange={(event) => {
          forgetOutcome(change);
          setTyped(event.currentTarget.value);
        }}
      />
      <FolderPicker place={place} path={target === null ? folder : kind === "move" ? target : parentOf(target)} onPick={(path) => {
        forgetOutcome(change);
        setTyped(`/${kind === "move" ? path : joinPath(path, lastOf(typed))}`);
      }} />
      {(kind !== "move" || (change.error && asApiError(change.error).code === "file_exists")) && (
        <Select
          label="Names that are taken" allowDeselect={false} value={overwrite} data={kind === "move" ? OVERWRITES.filter(({ value }) => value !== "skip") : OVERWRITES}
          onChange={(value) => {
            forgetOutcome(change);
            setOverwrite(value ?? "refuse");
          }}
        />
      )}
    </AskDialog>
  );
}

function lastOf(typed: string): string {
  return typed.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

function beginWith(kind: Props["kind"], folder: string, [first]: readonly FileEntry[]): string {
  if (!first || kind === "move") return folder;
  return joinPath(folder, kind === "copy" ? renderOtherName(first.name, 2) : splitEnding(first.name)[0]);
}

/** The folders in one folder, to go into, and the way up. */
function FolderPicker({ place, path, onPick }: { place: Place; path: string; onPick: (path: string) => void }) {
  const query = useFolder(place, path, { order: BY_NAME, hidden: false });
  const folders = joinEntries(query.data?.pages ?? []).filter(({ kind }) => kind === "dir");
  return (
    <Stack gap={4}>
      <Group gap={6} justify="space-between">
        <Text size="xs" c="dimmed" truncate>Folders in <bdi>/{showName(path)}</bdi></Text>
        {path !== "" && <Button size="compact-xs" variant="subtle" onClick={() => onPick(parentOf(path))}>One up</Button>}
      </Group>
      <ScrollArea.Autosize mah={148} type="auto">
        {query.isPending && <Skeleton h={28} role="status" aria-label="Loading the folder" />}
        {query.error && <Text size="xs" c="dimmed">{asApiError(query.error).code === "path_not_found" ? "There is no such folder yet." : <Said text={asApiError(query.error).detail} />}</Text>}
        {query.data && folders.length === 0 && <Text size="xs" c="dimmed">There is none in it.</Text>}
        <Group gap={4}>
          {folders.map(({ name }) => <Button key={name} size="compact-xs" variant="default" maw="100%" onClick={() => onPick(joinPath(path, name))}><bdi>{showName(name)}</bdi></Button>)}
        </Group>
      </ScrollArea.Autosize>
    </Stack>
  );
}

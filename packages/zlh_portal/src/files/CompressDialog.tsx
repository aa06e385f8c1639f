/** Asks under which name and in which format entries are packed. */
import { Checkbox, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { asApiError } from "../api/problem";
import { forgetOutcome } from "../api/query";
import { isolate } from "../layout/words";
import { AskDialog } from "./AskDialog";
import { archiveFiles, type Place } from "./calls";
import type { ArchiveFormat, FileEntry } from "../api/types";
import { findNameProblem, showName, splitEnding } from "./names";
import { joinPath, nameOf } from "./paths";
import { useChange } from "./queries";
import { countEntries } from "./rows";

interface Props {
  place: Place;
  folder: string;
  entries: readonly FileEntry[];
  onDone: () => void;
  onClose: () => void;
}

const FORMATS: { value: ArchiveFormat; label: string; about: string }[] = [
  { value: "zip", label: "zip", about: "Opens everywhere." },
  { value: "tar.gz", label: "tar.gz", about: "Keeps rights and links." },
  { value: "tar.zst", label: "tar.zst", about: "Keeps rights and links; smaller and much faster, for newer programs." },
];

export function CompressDialog({ place, folder, entries, onDone, onClose }: Props) {
  const [first] = entries;
  const [stem, setStem] = useState(() => (entries.length === 1 && first ? (first.kind === "dir" ? first.name : splitEnding(first.name)[0]) : nameOf(folder) || "archive"));
  const [format, setFormat] = useState<ArchiveFormat>("zip");
  const [replace, setReplace] = useState(false);
  const name = `${stem}.${format}`;
  const problem = stem === "" ? "Give it a name." : findNameProblem(name);
  const change = useChange(place.vmid, () => archiveFiles(place, entries.map((entry) => joinPath(folder, entry.name)), joinPath(folder, name), format, replace));
  const what = entries.length === 1 && first ? isolate(showName(first.name)) : countEntries(entries);
  return (
    <AskDialog title={`Compress ${what}`} action="Compress" failure="The archive was not made" isPending={change.isPending} error={change.error} isReady={problem === null} onClose={onClose} onConfirm={() => change.mutate(undefined, { onSuccess: onDone })}>
      <Stack gap={6}>
        <SegmentedControl aria-label="Format" value={format} data={FORMATS.map(({ value, label }) => ({ value, label }))} onChange={(value) => setFormat(value)} />
        <Text size="xs" c="dimmed">{FORMATS.find(({ value }) => value === format)?.about}</Text>
      </Stack>
      <TextInput label="Name" data-autofocus autoComplete="off" spellCheck={false} value={stem} error={problem} rightSectionWidth={74} rightSection={<Text size="sm" c="dimmed">.{format}</Text>} onChange={(event) => {
        forgetOutcome(change);
        setStem(event.currentTarget.value);
      }} />
      {(replace || (change.error !== null && asApiError(change.error).code === "file_exists")) && <Checkbox label="Replace the one that is there" checked={replace} onChange={(event) => setReplace(event.currentTarget.checked)} />}
    </AskDialog>
  );
}

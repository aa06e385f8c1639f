/** Asks for a name: of something new, or another one for what is there. */
import { TextInput } from "@mantine/core";
import { useState } from "react";
import { forgetOutcome } from "../api/query";
import { isolate } from "../layout/words";
import { AskDialog } from "./AskDialog";
import { makeFolder, moveFile, type Place, putContent } from "./calls";
import { findNameProblem, showName, splitEnding } from "./names";
import { joinPath } from "./paths";
import { useChange } from "./queries";

interface Props {
  place: Place;
  folder: string;
  kind: "new file" | "new folder" | "rename";
  /** What is renamed. */
  name?: string;
  /** Hears of the name that there is now. */
  onDone: (name: string) => void;
  onClose: () => void;
}

const WORDS = {
  "new file": { title: "New file", action: "Create", failure: "The file was not made" },
  "new folder": { title: "New folder", action: "Create", failure: "The folder was not made" },
  rename: { title: "Rename", action: "Rename", failure: "It was not renamed" },
} as const;

export function NameDialog({ place, folder, kind, name = "", onDone, onClose }: Props) {
  const [typed, setTyped] = useState(name);
  const [isTouched, setTouched] = useState(false);
  const words = WORDS[kind];
  const problem = findNameProblem(typed);
  const change = useChange<string, unknown>(place.vmid, (wanted) => {
    const path = joinPath(folder, wanted);
    if (kind === "new file") return putContent(place, path, "", "nothing");
    return kind === "new folder" ? makeFolder(place, path) : moveFile(place, joinPath(folder, name), path);
  });
  return (
    <AskDialog
      title={kind === "rename" ? `Rename ${isolate(showName(name))}` : words.title} action={words.action} failure={words.failure} isPending={change.isPending} error={change.error}
      isReady={problem === null && (kind !== "rename" || typed !== name)} onClose={onClose} onConfirm={() => change.mutate(typed, { onSuccess: () => onDone(typed) })}
    >
      <TextInput
        label="Name" data-autofocus autoComplete="off" spellCheck={false} value={typed} error={isTouched ? problem : null}
        // The ending most often stays; who comes back to what they typed finds it as it was.
        onFocus={(event) => kind === "rename" && !isTouched && event.currentTarget.setSelectionRange(0, splitEnding(name)[0].length)}
        onChange={(event) => {
          forgetOutcome(change);
          setTouched(true);
          setTyped(event.currentTarget.value);
        }}
      />
    </AskDialog>
  );
}

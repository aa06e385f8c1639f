/** Who may read, write and execute an entry. */
import { Checkbox, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { isolate } from "../layout/words";
import { AskDialog } from "./AskDialog";
import { changeMode, type Place } from "./calls";
import { forgetOutcome } from "../api/query";
import type { FileEntry } from "../api/types";
import classes from "./files.module.css";
import { showName } from "./names";
import { joinPath } from "./paths";
import { useChange } from "./queries";
import { bitOf, parseMode, showMode, toggleRight, WHAT, WHO } from "./rights";

interface Props {
  place: Place;
  folder: string;
  entry: FileEntry;
  onDone: () => void;
  onClose: () => void;
}

export function RightsDialog({ place, folder, entry, onDone, onClose }: Props) {
  const [mode, setMode] = useState(entry.mode);
  const change = useChange(place.vmid, (wanted: string) => changeMode(place, joinPath(folder, entry.name), wanted));
  const isMode = /^[0-7]{3,4}$/.test(mode);
  const turn = (to: string) => {
    forgetOutcome(change);
    setMode(to);
  };
  return (
    <AskDialog
      title={`Rights of ${isolate(showName(entry.name))}`} action="Change" failure="The rights were not changed" isPending={change.isPending} error={change.error}
      isReady={isMode && parseMode(mode) !== parseMode(entry.mode)} onClose={onClose} onConfirm={() => change.mutate(mode, { onSuccess: onDone })}
    >
      <table className={classes["rightsTable"]}>
        <thead><tr><td />{WHAT.map((what) => <th key={what} scope="col">{what}</th>)}</tr></thead>
        <tbody>
          {WHO.map((who, whoIndex) => (
            <tr key={who}>
              <th scope="row">{who}</th>
              {WHAT.map((what, whatIndex) => (
                <td key={what}><Checkbox aria-label={`${who}: ${what}`} checked={(parseMode(mode) & bitOf(whoIndex, whatIndex)) !== 0} onChange={() => turn(toggleRight(mode, whoIndex, whatIndex))} /></td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <TextInput label="In octal" w={120} value={mode} error={isMode ? null : "Three or four digits from 0 to 7."} maxLength={4} onChange={(event) => turn(event.currentTarget.value)} />
      <Text size="xs" c="dimmed" className="mono">{isMode ? showMode(mode) : " "}</Text>
    </AskDialog>
  );
}

/** The SHA-256 of a file, to compare with one that somebody published. */
import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Bar } from "../layout/Bar";
import { percentOf } from "../layout/percent";
import { Problem } from "../layout/Problem";
import { Said } from "../layout/Said";
import { Secret } from "../layout/Secret";
import { isolate } from "../layout/words";
import { cancelOperation, checksumFile, type Place } from "./calls";
import type { FileEntry } from "../api/types";
import { showName } from "./names";
import { joinPath } from "./paths";
import { useOperation } from "./queries";
import { Modal } from "../layout/Modal";

export function ChecksumDialog({ place, folder, entry, onClose }: { place: Place; folder: string; entry: FileEntry; onClose: () => void }) {
  const [wanted, setWanted] = useState("");
  const begun = useQuery({ queryKey: ["checksum", place.vmid, place.root, folder, entry.name, entry.version], gcTime: 0, staleTime: "static", retry: false, queryFn: () => checksumFile(place, joinPath(folder, entry.name)) });
  const later = useOperation(place.vmid, begun.data?.state === "running" ? begun.data.id : null);
  const operation = later.data ?? begun.data;
  const sum = operation?.result?.sha256 ?? null;
  const close = () => {
    if (operation?.state === "running") cancelOperation(place.vmid, operation.id).catch(() => undefined);
    onClose();
  };
  return (
    <Modal opened onClose={close} title={`Checksum of ${isolate(showName(entry.name))}`} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <Stack>
        {begun.error && <Problem error={begun.error} title="It could not be read" />}
        {operation?.state === "running" && <Bar percent={percentOf(operation)} label="Reading the file" />}
        {operation && operation.state !== "running" && sum === null && <Text size="sm" c="red"><Said text={operation.message ?? "It could not be read to its end."} /></Text>}
        {sum !== null && <Secret label="SHA-256" text={sum} testId="checksum" />}
        {sum !== null && <TextInput label="Compare with" placeholder="Paste the checksum that it should have" spellCheck={false} autoComplete="off" value={wanted} onChange={(event) => setWanted(event.currentTarget.value)} />}
        {sum !== null && wanted.trim() !== "" && <Text size="sm" role="status" c={wanted.trim().toLowerCase() === sum ? "teal" : "red"}>{wanted.trim().toLowerCase() === sum ? "They are the same." : "They differ."}</Text>}
        <Group justify="flex-end"><Button variant="default" onClick={close}>Close</Button></Group>
      </Stack>
    </Modal>
  );
}

/** Asks what becomes of files whose names are taken: once for all that was dropped together. */
import { Button, Group, List, Stack, Text } from "@mantine/core";
import { isolate } from "../../layout/words";
import { showName } from "../names";
import type { Choice } from "./queue";
import { Modal } from "../../layout/Modal";

const NAMED = 5;

export function ConflictDialog({ names, onChoose, onCancel }: { names: readonly string[]; onChoose: (choice: Choice) => void; onCancel: () => void }) {
  const title = names.length === 1 ? `${isolate(showName(names[0] ?? ""))} is there already` : "Some files are there already";
  return (
    <Modal opened onClose={onCancel} title={title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <Stack>
        {names.length > 1 && (
          <List size="sm">
            {names.slice(0, NAMED).map((name) => <List.Item key={name} style={{ overflowWrap: "anywhere" }}><bdi>{showName(name)}</bdi></List.Item>)}
            {names.length > NAMED && <List.Item>and {names.length - NAMED} more</List.Item>}
          </List>
        )}
        <Text size="sm">What you choose holds for all files that were chosen together, also for those that are still to come.</Text>
        {/* In one line on a phone too. */}
        <Group justify="flex-end" gap="xs" wrap="nowrap">
          <Button variant="default" px="sm" onClick={() => onChoose("skip")}>Skip</Button>
          <Button variant="default" px="sm" onClick={() => onChoose("both")}>Keep both</Button>
          <Button color="red" px="sm" onClick={() => onChoose("replace")}>Replace</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

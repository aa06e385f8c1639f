/** Asks once more before something that cannot be taken back. */
import { Button, Group, Stack, Text } from "@mantine/core";
import { Modal } from "./Modal";

interface Props {
  title: string;
  /** What it means, in a sentence. */
  meaning: string;
  action: string;
  isPending: boolean;
  /** False for what can be undone by its opposite. */
  isGrave?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}

export function ConfirmModal({ title, meaning, action, isPending, isGrave = true, onConfirm, onClose }: Props) {
  return (
    <Modal opened onClose={onClose} title={title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <Stack>
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>{meaning}</Text>
        <Group justify="flex-end">
          <Button variant="default" data-autofocus onClick={onClose}>Cancel</Button>
          <Button color={isGrave ? "red" : "indigo"} loading={isPending} onClick={onConfirm}>{action}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

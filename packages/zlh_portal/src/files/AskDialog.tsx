/** The frame of every window that asks before something is done with files. */
import { Button, Group, Stack } from "@mantine/core";
import type { ReactNode } from "react";
import { Problem } from "../layout/Problem";
import { Modal } from "../layout/Modal";

interface Props {
  title: string;
  action: string;
  isPending: boolean;
  error?: unknown;
  /** What the failure of it is called. */
  failure: string;
  isRed?: boolean;
  isReady?: boolean;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function AskDialog({ title, action, isPending, error, failure, isRed = false, isReady = true, onConfirm, onClose, children }: Props) {
  return (
    <Modal opened onClose={onClose} title={title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <form
        aria-label={title} onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !isPending) onConfirm();
        }}
      >
        <Stack>
          {Boolean(error) && <Problem error={error} title={failure} />}
          {children}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" {...(isRed ? { color: "red" } : {})} loading={isPending} disabled={!isReady}>{action}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

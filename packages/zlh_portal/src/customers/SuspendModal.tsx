/** Asks for the reason of a suspension, which is shown to those it concerns. */
import { Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Problem } from "../layout/Problem";
import { Modal } from "../layout/Modal";

interface Props {
  title: string;
  meaning: string;
  /** Who is shown the reason. */
  to: string;
  error: unknown;
  isPending: boolean;
  onConfirm: (reason: string) => void;
  onClose: () => void;
}

const MOST_CHARS = 500;

export function SuspendModal({ title, meaning, to, error, isPending, onConfirm, onClose }: Props) {
  const [reason, setReason] = useState("");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (reason.trim() !== "" && !isPending) onConfirm(reason.trim());
  };
  return (
    <Modal opened onClose={onClose} title={title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{meaning}</Text>
          {error !== null && error !== undefined && <Problem error={error} title="Nothing was suspended" />}
          <Textarea label="Reason" description={`It is shown to ${to}, and kept in the audit log.`} data-autofocus autosize minRows={2} maxRows={6} maxLength={MOST_CHARS} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" color="orange" disabled={reason.trim() === ""} loading={isPending}>Suspend</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

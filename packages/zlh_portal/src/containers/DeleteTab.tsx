/** Deletes a container once its name has been typed, and shows how it goes. */
import { Button, Group, Paper, Stack, Text, TextInput, Title } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import type { ContainerStatus } from "../api/types";
import { Problem } from "../layout/Problem";
import { useMayChange } from "../session/session";
import { useDeleteContainer } from "./queries";
import { StepsTimeline } from "./StepsTimeline";

export function DeleteTab({ status }: { status: ContainerStatus }) {
  const mayChange = useMayChange(status);
  const remove = useDeleteContainer(status.vmid);
  const [typed, setTyped] = useState("");
  const isConfirmed = typed.trim() === status.name;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (isConfirmed) remove.mutate();
  };

  if (status.lifecycle === "deleting") {
    return (
      <Paper maw={560} data-testid="deleting">
        <Title order={2} mb="xs">{status.name} is being deleted</Title>
        <Text size="sm" c="dimmed" mb="md">You are brought back to the list once it is gone.</Text>
        <StepsTimeline status={status} />
      </Paper>
    );
  }
  if (!mayChange) return <Text c="dimmed">You may look at this container, not delete it. Ask an owner for the role of a member.</Text>;
  return (
    <Paper maw={560} component="section" aria-label="Delete the container">
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Title order={2}>Delete {status.name}</Title>
          <Text size="sm">Its files, its terminals and its published ports are removed for good. Nothing brings them back.</Text>
          {remove.error && <Problem error={remove.error} title="It was not deleted" />}
          <TextInput label={<>Type <code>{status.name}</code> to confirm</>} aria-label="Type the name to confirm" autoComplete="off" spellCheck={false} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
          <Group justify="flex-end"><Button type="submit" color="red" disabled={!isConfirmed} loading={remove.isPending}>Delete for good</Button></Group>
        </Stack>
      </form>
    </Paper>
  );
}

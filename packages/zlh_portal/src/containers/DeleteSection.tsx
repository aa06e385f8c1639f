/** Deletes a container once its name has been typed, having said what goes with it. */
import { Button, Group, List, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import type { ContainerStatus } from "../api/types";
import { useExposures } from "../exposures/queries";
import { Problem } from "../layout/Problem";
import { listLosses } from "./losses";
import { useDeleteContainer } from "./queries";

export function DeleteSection({ status }: { status: ContainerStatus }) {
  const remove = useDeleteContainer(status.vmid);
  const { data: exposures } = useExposures(status.vmid);
  const [typed, setTyped] = useState("");
  const isConfirmed = typed.trim() === status.name;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (isConfirmed && !remove.isPending) remove.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <div>
          <Text size="sm">These go for good, and nothing brings them back:</Text>
          <List size="sm" mt={4} data-testid="losses">
            {listLosses(status, exposures ?? []).map((loss) => <List.Item key={loss} style={{ overflowWrap: "anywhere" }}>{loss}</List.Item>)}
          </List>
        </div>
        {remove.error && <Problem error={remove.error} title="It was not deleted" />}
        <TextInput label={<>Type <code>{status.name}</code> to confirm</>} aria-label="Type the name to confirm" autoComplete="off" spellCheck={false} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
        <Group justify="flex-end"><Button type="submit" color="red" disabled={!isConfirmed} loading={remove.isPending}>Delete for good</Button></Group>
      </Stack>
    </form>
  );
}

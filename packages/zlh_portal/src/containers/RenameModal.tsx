import { Button, Group, Stack, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { ContainerStatus } from "../api/types";
import { complainAboutName } from "./name";
import { useContainers, usePatch } from "./queries";
import { Modal } from "../layout/Modal";

export function RenameModal({ status, onClose }: { status: ContainerStatus; onClose: () => void }) {
  const rename = usePatch(status.vmid);
  const { data: others } = useContainers();
  const [name, setName] = useState(status.name);
  const taken = others?.flatMap((item) => (item.vmid === status.vmid || item.customerId !== status.customerId ? [] : item.name)) ?? [];
  const refused = rename.error ? splitByField(asApiError(rename.error), ["name"]) : null;
  const fault = complainAboutName(name, taken) ?? refused?.fields["name"] ?? null;
  // What is no fault of the name may go by itself, so the same one can be sent again.
  const isSendable = name.trim() !== "" && name.trim() !== status.name && fault === null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (isSendable && !rename.isPending) rename.mutate({ name: name.trim() }, { onSuccess: onClose });
  };
  return (
    <Modal opened onClose={onClose} title="Rename the container" centered>
      <form onSubmit={submit} noValidate>
        <Stack>
          <TextInput
            label="Name" description="The web address stays as it is." data-autofocus autoComplete="off" value={name} error={fault ?? refused?.rest}
            onChange={(event) => {
              forgetOutcome(rename);
              setName(event.target.value);
            }}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" disabled={!isSendable} loading={rename.isPending}>Rename</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

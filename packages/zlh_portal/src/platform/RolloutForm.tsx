/** Begins a roll-out: which version, who comes first, how long each wave is watched. */
import { Button, Group, NativeSelect, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { FleetAgents } from "../api/types";
import { KeyRing } from "../containers/idempotency";
import { Modal } from "../layout/Modal";
import { Problem } from "../layout/Problem";
import { tellDone } from "../layout/tell";
import { offeredVersions, parseVmids } from "./agents";
import { useStartRollout } from "./agentQueries";

export function RolloutForm({ agents, onClose }: { agents: FleetAgents; onClose: () => void }) {
  const start = useStartRollout();
  const versions = offeredVersions(agents);
  const [keys] = useState(() => new KeyRing());
  const [version, setVersion] = useState(versions[0] ?? "");
  const [first, setFirst] = useState("");
  const [soakMinutes, setSoak] = useState<number | string>("");
  const canaries = parseVmids(first);
  const refused = start.error ? splitByField(asApiError(start.error), ["version", "canaries", "soakMinutes"]) : null;
  const change = <T,>(set: (value: T) => void) => (value: T) => {
    forgetOutcome(start);
    set(value);
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (canaries === null || start.isPending) return;
    const wish = { version, canaries, ...(typeof soakMinutes === "number" ? { soakMinutes } : {}) };
    start.mutate({ key: keys.keyFor(wish), wish }, {
      onSuccess: () => {
        tellDone(`The roll-out of ${version} has begun.`);
        onClose();
      },
    });
  };
  return (
    <Modal opened onClose={onClose} title="Start a roll-out" centered>
      <form onSubmit={submit} noValidate>
        <Stack>
          <Text size="sm">The first containers are told at once. Once they have proved the version, a few of the others follow, then more, then all. Programs in the containers go on.</Text>
          {refused?.rest && <Problem error={start.error} title="The roll-out was not begun" />}
          <NativeSelect label="Version" data={versions} value={version} error={refused?.fields["version"]} onChange={(event) => change(setVersion)(event.currentTarget.value)} />
          <TextInput
            label="First containers" description="Their numbers; one that is online is chosen where none is named." value={first} autoComplete="off"
            error={canaries === null ? "Numbers of containers, such as 101, 102." : refused?.fields["canaries"]} onChange={(event) => change(setFirst)(event.currentTarget.value)}
          />
          <NumberInput label="Minutes that each wave is watched" description="Left empty, as long as is usual here." min={0} max={10_080} allowDecimal={false} value={soakMinutes} error={refused?.fields["soakMinutes"]} onChange={change(setSoak)} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" disabled={canaries === null} loading={start.isPending}>Start</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** Another runtime or another version, out of what the catalog offers. */
import { Alert, Button, Checkbox, Group, Skeleton, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { asApiError } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { ContainerStatus, RuntimeOffer } from "../api/types";
import { type RuntimeChoice, RuntimePicker } from "../catalog/RuntimePicker";
import { useRuntimeOffers } from "../catalog/queries";
import { Problem } from "../layout/Problem";
import { isolateOdd } from "../layout/words";
import { chooseFirst, isWanted } from "./firstChoice";
import { useInstall } from "./queries";
import type { Group as RuntimeVersions } from "./rows";
import { Modal } from "../layout/Modal";

interface Props {
  status: ContainerStatus;
  groups: readonly RuntimeVersions[];
  onClose: () => void;
}

export function InstallModal({ status, groups, onClose }: Props) {
  const offers = useRuntimeOffers();
  return (
    <Modal opened onClose={onClose} title="Install a runtime" centered size="lg">
      {offers.data ? (
        offers.data.length > 0 ? <InstallForm status={status} groups={groups} offers={offers.data} onClose={onClose} /> : <Alert color="orange">The catalog is empty. Ask your operator.</Alert>
      ) : offers.error ? (
        <Problem error={offers.error} title="The catalog cannot be read" onRetry={() => void offers.refetch()} />
      ) : (
        <Skeleton h={120} role="status" aria-label="Loading the catalog" />
      )}
    </Modal>
  );
}

function InstallForm({ status, groups, offers, onClose }: Props & { offers: readonly RuntimeOffer[] }) {
  const install = useInstall(status);
  const [choice, setChoice] = useState<RuntimeChoice>(() => chooseFirst(offers, groups));
  const [isDefault, setDefault] = useState(false);
  const { runtime, version } = choice;
  const current = groups.find((group) => group.name === runtime)?.rows.find((row) => row.isDefault || row.becomesDefault);
  const isThere = runtime !== null && version !== null && isWanted(groups, runtime, version);
  const submit = () => {
    if (runtime === null || version === null) return;
    install.mutate({ name: runtime, version, default: current ? isDefault : null }, { onSuccess: onClose });
  };
  return (
    <form aria-label="Install a runtime" onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <Stack>
        {install.error && <Problem error={install.error} title={asApiError(install.error).code === "runtime_limit" ? "There is no room for another version" : "It was not installed"} />}
        <RuntimePicker offers={offers} value={choice} errors={{ version: isThere ? "It is installed already." : undefined }} onChange={(next) => { forgetOutcome(install); setChoice(next); }} />
        {current ? (
          <Checkbox
            label={`Make it the default instead of ${isolateOdd(current.version)}`} description="Otherwise it stands beside the default, reached by its own path."
            checked={isDefault} onChange={(event) => setDefault(event.currentTarget.checked)}
          />
        ) : (
          <Text size="sm" c="dimmed">It is the first version of its runtime here, so it becomes the default.</Text>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button type="submit" loading={install.isPending} disabled={runtime === null || version === null || isThere}>Install</Button>
        </Group>
      </Stack>
    </form>
  );
}

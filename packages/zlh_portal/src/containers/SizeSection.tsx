/** How large the container is, how large it shall be, and how that goes. */
import { Button, Code, Group, List, Skeleton, Stack, Text } from "@mantine/core";
import { Said } from "../layout/Said";
import { useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { ContainerStatus, Limits } from "../api/types";
import { useServerNow } from "../layout/clock";
import { capitalize } from "../layout/words";
import { Problem } from "../layout/Problem";
import { ToneBadge } from "../layout/ToneBadge";
import { useLimits, usePatch } from "./queries";
import { ResourceFields } from "./ResourceFields";
import { describeResize, FIELDS, type Resize, wishBetween } from "./sizes";
import { tellTries } from "./timeline";

const SIZE_FIELDS = FIELDS.map((field) => `resources.${field}`);

export function SizeSection({ status }: { status: ContainerStatus }) {
  const limits = useLimits();
  const resize = limits.data ? describeResize(status, limits.data.enforced) : null;
  return (
    <Stack gap="md">
      {resize && (
        <Group gap="xs">
          <ToneBadge words={resize.words} testId="resize" />
          <Text size="sm" c="dimmed">{resize.words.meaning}</Text>
        </Group>
      )}
      {resize && <Outcome status={status} resize={resize} />}
      {limits.data ? (
        // A size that was changed elsewhere begins the form anew.
        <SizeForm key={JSON.stringify(status.resources)} status={status} limits={limits.data} />
      ) : limits.error ? (
        <Problem error={limits.error} title="What can be asked for cannot be read" onRetry={() => void limits.refetch()} />
      ) : (
        <Skeleton h={160} role="status" aria-label="Loading the sizes" />
      )}
    </Stack>
  );
}

/** What holds instead of what is wanted, and why. */
function Outcome({ status, resize: { differences, failed } }: { status: ContainerStatus; resize: Resize }) {
  const patch = usePatch(status.vmid);
  const now = useServerNow(Boolean(failed?.nextTryAt), 250);
  const held = status.resourcesInForce;
  if (differences.length === 0 && !failed) return null;
  return (
    <div data-testid="resize-outcome">
      {failed?.message && <Text size="sm" c="red" style={{ overflowWrap: "anywhere" }}><Said text={failed.message} /> <Code>{failed.code}</Code></Text>}
      <List size="sm">{differences.map((line) => <List.Item key={line}>{line}</List.Item>)}</List>
      {failed && (
        <Group gap="xs" mt="xs">
          <Button size="compact-sm" variant="default" loading={patch.isPending} onClick={() => patch.mutate({ resources: status.resources })}>Try again now</Button>
          {held && <Button size="compact-sm" variant="default" disabled={patch.isPending} onClick={() => patch.mutate({ resources: held })}>Keep what holds</Button>}
          <Text size="xs" c="dimmed" className="numbers">{capitalize(tellTries(failed, now))}</Text>
        </Group>
      )}
      {patch.error && <Problem error={patch.error} title="That was refused" />}
    </div>
  );
}

function SizeForm({ status, limits }: { status: ContainerStatus; limits: Limits }) {
  const patch = usePatch(status.vmid);
  const [size, setSize] = useState(status.resources);
  const wish = wishBetween(status.resources, size);
  const refused = patch.error ? splitByField(asApiError(patch.error), SIZE_FIELDS) : null;
  return (
    <Stack gap="md">
      {patch.error && refused?.rest && <Problem error={patch.error} title="The size was not changed" />}
      <ResourceFields
        value={size} limits={limits} errors={refused?.fields ?? {}} leastDiskMib={status.resourcesInForce?.diskMib ?? 0}
        onChange={(next) => {
          forgetOutcome(patch);
          setSize(next);
        }}
      />
      <Group justify="flex-end">
        {wish && <Button variant="default" disabled={patch.isPending} onClick={() => setSize(status.resources)}>Undo</Button>}
        <Button disabled={!wish} loading={patch.isPending} onClick={() => wish && patch.mutate({ resources: wish })}>Apply the size</Button>
      </Group>
    </Stack>
  );
}

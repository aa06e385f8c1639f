/** What a wish for mods comes to, shown before it is done. */
import { Alert, Button, Group, List, Loader, Modal, Stack, Text } from "@mantine/core";
import type { ChangeProgress, PlanMods } from "../api/types";
import { Problem } from "../layout/Problem";
import { formatBytes } from "../layout/words";
import { useApplyMods, useModPlan } from "./queries";
import { changesOf, describeLine } from "./words";

export function PlanModal({ vmid, wish, title, onBegun, onClose }: { vmid: number; wish: PlanMods; title: string; onBegun: (change: ChangeProgress) => void; onClose: () => void }) {
  const plan = useModPlan(vmid, wish);
  const apply = useApplyMods(vmid);
  const changes = plan.data ? changesOf(plan.data) : [];
  return (
    <Modal opened onClose={onClose} title={title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <Stack>
        {plan.isPending && <Group gap="xs" role="status"><Loader size="xs" /><Text size="sm">Finding out what it takes…</Text></Group>}
        {plan.error && <Problem error={plan.error} title="No plan can be made" onRetry={() => void plan.refetch()} />}
        {apply.error && <Problem error={apply.error} title="It was not begun" onRetry={() => void plan.refetch()} />}
        {plan.data?.problems.map(({ code, message, isFatal }) => <Alert key={`${code} ${message}`} color={isFatal ? "red" : "orange"} p="sm"><Text size="sm" style={{ overflowWrap: "anywhere" }}>{message}</Text></Alert>)}
        {plan.data && changes.length === 0 && <Text size="sm" c="dimmed">Nothing is to be done: all of it is as it should be.</Text>}
        <List size="sm" data-testid="mod-plan">{changes.map((line) => <List.Item key={line.projectId} style={{ overflowWrap: "anywhere" }}>{describeLine(line)}</List.Item>)}</List>
        {plan.data && changes.length > 0 && <Text size="xs" c="dimmed">{formatBytes(plan.data.downloadBytes)} are fetched. It is done whole or not at all, and can be undone. A server that runs takes it with its next start.</Text>}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button disabled={!plan.data?.isPossible || changes.length === 0} loading={apply.isPending} onClick={() => plan.data && apply.mutate({ ...wish, revision: plan.data.revision }, { onSuccess: onBegun })}>Do it</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** What a wish for mods comes to, shown before it is done; of a single mod, the version is chosen here. */
import { Alert, Button, Group, List, Loader, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { forgetOutcome } from "../api/query";
import type { ChangeProgress, ModSeen, PlanMods, PlanProblem } from "../api/types";
import { Problem } from "../layout/Problem";
import { formatBytes } from "../layout/words";
import { useApplyMods, useModPlan } from "./queries";
import { VersionChoice } from "./VersionChoice";
import { adviseProblem, changesOf, type Choice, describeLine, wishFor } from "./words";
import { Modal } from "../layout/Modal";
import { Said } from "../layout/Said";

/** What somebody wants: of one project any version, or something that leaves no choice. */
export type Asked = { title: string; wish: PlanMods } | { title: string; project: string; there: ModSeen | null };

interface Props {
  vmid: number;
  asked: Asked;
  onBegun: (change: ChangeProgress) => void;
  onClose: () => void;
}

export function PlanModal({ vmid, asked, onBegun, onClose }: Props) {
  const there = "project" in asked ? (asked.there?.entry.file ?? null) : null;
  const [choice, setChoice] = useState<Choice>({ channel: there?.channel ?? "release", versionId: null });
  const wish = "wish" in asked ? asked.wish : wishFor(asked.project, choice, asked.there !== null);
  const plan = useModPlan(vmid, wish);
  const apply = useApplyMods(vmid);
  // What was refused is so no more: the plan may be another one.
  const planAnew = () => {
    apply.reset();
    void plan.refetch();
  };
  const changes = plan.data ? changesOf(plan.data) : [];
  return (
    <Modal opened onClose={onClose} title={asked.title} centered styles={{ title: { overflowWrap: "anywhere" } }}>
      <Stack>
        {"project" in asked && <VersionChoice vmid={vmid} project={asked.project} installed={there?.versionId ?? null} value={choice} onChange={(next) => { forgetOutcome(apply); setChoice(next); }} />}
        {plan.isPending && <Group gap="xs" role="status"><Loader size="xs" /><Text size="sm">Finding out what it takes…</Text></Group>}
        {plan.error && <Problem error={plan.error} title="No plan can be made" onRetry={() => void plan.refetch()} />}
        {apply.error && <Problem error={apply.error} title="It was not begun" onRetry={planAnew} />}
        {plan.data?.problems.map((problem) => <ProblemOfPlan key={`${problem.code} ${problem.message}`} problem={problem} />)}
        {plan.data?.isPossible && changes.length === 0 && <Text size="sm" c="dimmed">Nothing is to be done: all of it is as it should be.</Text>}
        <List size="sm" data-testid="mod-plan">{changes.map((line) => <List.Item key={line.projectId} style={{ overflowWrap: "anywhere" }}>{describeLine(line)}</List.Item>)}</List>
        {plan.data?.isPossible && changes.length > 0 && <Text size="xs" c="dimmed">{formatBytes(plan.data.downloadBytes)} are fetched. It is done whole or not at all, and can be undone. A server that runs takes it with its next start.</Text>}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button disabled={!plan.data?.isPossible || changes.length === 0} loading={apply.isPending} onClick={() => plan.data && apply.mutate({ ...wish, revision: plan.data.revision }, { onSuccess: onBegun })}>Do it</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function ProblemOfPlan({ problem }: { problem: PlanProblem }) {
  const advice = adviseProblem(problem);
  return (
    <Alert color={problem.isFatal ? "red" : "orange"} p="sm" data-testid={problem.isFatal ? "plan-obstacle" : "plan-warning"}>
      <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={problem.message} /></Text>
      {advice !== null && <Text size="xs" mt={4}>{advice}</Text>}
    </Alert>
  );
}

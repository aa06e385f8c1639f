/** The programs that the agent of a container keeps running. */
import { Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { Suspense, useState } from "react";
import { useParams } from "react-router";
import type { ContainerStatus, Process } from "../api/types";
import { NotFoundPage } from "../layout/NotFoundPage";
import { PlusIcon } from "../layout/icons";
import { lazily } from "../layout/lazily";
import { Problem } from "../layout/Problem";
import { Unheard } from "../containers/Unheard";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { draftOf, knowsValues, newDraft, type Draft } from "./draft";
import { EmptyProcesses } from "./EmptyProcesses";
import { ProcessCard } from "./ProcessCard";
import { ProcessForm } from "./ProcessForm";
import { useProcesses } from "./queries";

// Its console brings xterm.js.
const ProcessPage = lazily("ProcessPage", () => import("./ProcessPage"));

interface Editing {
  draft: Draft;
  isNew: boolean;
}

export function ProcessesTab({ status }: { status: ContainerStatus }) {
  const { item } = useParams();
  const query = useProcesses(status);
  const may = useRights(status);
  const [editing, setEditing] = useState<Editing | null>(null);
  const edit = async (process: Process) => {
    // Who was a viewer a moment ago has no values yet, and would save none.
    const known = knowsValues(process) ? process : (await query.refetch()).data?.find(({ name }) => name === process.name);
    if (known && knowsValues(known)) setEditing({ draft: draftOf(known), isNew: false });
  };
  const processes = query.data;
  const form = editing && (
    <ProcessForm vmid={status.vmid} {...editing} taken={processes?.map(({ name }) => name) ?? []} onClose={() => setEditing(null)} />
  );

  if (!processes) return query.error ? <Problem error={query.error} title="The processes cannot be listed" onRetry={() => void query.refetch()} /> : <Loading />;
  if (item !== undefined) {
    const process = processes.find(({ name }) => name === item);
    if (!process) return query.isFetchedAfterMount ? <NotFoundPage what="process" within={{ to: `/containers/${status.vmid}/processes`, label: "To the processes" }} /> : <Loading />;
    return <Suspense fallback={<Loading />}><ProcessPage status={status} process={process} may={may} onEdit={() => void edit(process)} />{form}</Suspense>;
  }
  return (
    <Stack gap="md">
      {processes.length > 0 && (
        <Group justify="space-between" gap="xs">
          <Text size="sm" c="dimmed">The agent starts them, watches them, and starts them again when they crash.</Text>
          {may.change && <Button leftSection={<PlusIcon />} onClick={() => setEditing({ draft: newDraft(), isNew: true })}>Add process</Button>}
        </Group>
      )}
      {processes.length > 0 && <MayNot permission="containers:change" customerId={status.customerId} />}
      <Unheard
        status={status} off="What is switched on here starts with it."
        silent="so nobody knows how its processes are. They go on by themselves; changes wait until it is back."
      />
      {processes.length === 0 && <EmptyProcesses customerId={status.customerId} mayChange={may.change} onCreate={(draft) => setEditing({ draft, isNew: true })} />}
      <Stack gap="sm" component="ul" m={0} p={0} aria-label="Processes" style={{ listStyle: "none" }}>
        {processes.map((process) => <ProcessCard key={process.name} vmid={status.vmid} process={process} may={may} onEdit={() => void edit(process)} />)}
      </Stack>
      {form}
    </Stack>
  );
}

function Loading() {
  return <Stack gap="sm" role="status" aria-label="Loading the processes"><Skeleton h={96} /><Skeleton h={96} /></Stack>;
}

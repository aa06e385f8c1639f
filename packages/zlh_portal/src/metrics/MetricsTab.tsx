/** What a container uses now, and has used. */
import { Alert, Group, Paper, SegmentedControl, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useMemo, useState } from "react";
import type { ContainerStatus } from "../api/types";
import { asApiError } from "../api/problem";
import { isGuestOff } from "../containers/states";
import { useServerNow } from "../layout/clock";
import { Problem } from "../layout/Problem";
import { NowTiles } from "./NowTiles";
import { PlotCard } from "./PlotCard";
import { buildPlots, gapS, hasValues, mergeSamples } from "./plots";
import { ProcessTable } from "./ProcessTable";
import { POINTS, useKeptSamples, useRecentSamples } from "./queries";

const SPANS = [{ value: "900", label: "15 min" }, { value: "3600", label: "1 h" }, { value: "86400", label: "24 h" }];

export function MetricsTab({ status }: { status: ContainerStatus }) {
  const [span, setSpan] = useState("900");
  const spanS = Number(span);
  const isHeard = status.connection === "online";
  const recent = useRecentSamples(status.vmid, isHeard);
  const kept = useKeptSamples(status.vmid, spanS);
  const nowMs = useServerNow(true, 3_000);
  const fromMs = nowMs - spanS * 1000;
  const { whole, apart, isEmpty } = useMemo(() => {
    const samples = mergeSamples(kept.data ?? [], recent.data ?? [], fromMs);
    return { ...buildPlots(samples, gapS(spanS, POINTS)), isEmpty: samples.length === 0 };
  }, [kept.data, recent.data, fromMs, spanS]);
  const newest = isHeard && !recent.error ? recent.data?.at(-1) : undefined;
  const range = { from: fromMs / 1000, to: nowMs / 1000 };

  return (
    <Stack gap="md">
      <section aria-label="Now">
        {newest ? <NowTiles metrics={newest} /> : <Silence status={status} error={recent.error} isAsking={isHeard && recent.isPending} />}
      </section>
      {newest && <ProcessTable processes={newest.processes} />}
      <Group justify="space-between" gap="xs">
        <Title order={2}>Over time</Title>
        <SegmentedControl size="xs" aria-label="How far back" data={SPANS} value={span} onChange={setSpan} />
      </Group>
      {/* What was measured since this page was opened is no history: while that is not known, it is said. */}
      {!kept.data && (kept.error ? <Problem error={kept.error} title="What was measured before cannot be read" onRetry={() => void kept.refetch()} /> : <Skeleton h={isEmpty ? 220 : 60} role="status" aria-label="Loading the metrics" />)}
      {kept.data && isEmpty && (
        <Paper data-testid="no-metrics"><Text size="sm" c="dimmed">No data yet for this time. A container that runs is measured once a minute, and every three seconds while you look here.</Text></Paper>
      )}
      {!isEmpty && (
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          {[...whole.filter(hasValues), ...apart].map((plot) => <PlotCard key={plot.id} plot={plot} range={range} />)}
        </SimpleGrid>
      )}
      {!isEmpty && <Unknown titles={whole.filter((plot) => !hasValues(plot)).map(({ title }) => title)} />}
    </Stack>
  );
}

function Silence({ status, error, isAsking }: { status: ContainerStatus; error: unknown; isAsking: boolean }) {
  if (isAsking) return <Skeleton h={86} role="status" aria-label="Asking the agent" />;
  const why = error ? asApiError(error).detail : isGuestOff(status) ? "The container is off." : "The agent of this container is not heard now.";
  return <Alert color="gray" p="sm" data-testid="no-now">{why} What was measured before is shown below.</Alert>;
}

function Unknown({ titles }: { titles: string[] }) {
  if (titles.length === 0) return null;
  return <Text size="xs" c="dimmed">Not known in this container: {titles.join(", ").toLowerCase()}.</Text>;
}

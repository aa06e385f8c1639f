/** How a server was over time: players, its answers to a ping, its ticks. */
import { Paper, SimpleGrid, Skeleton, Text, Title } from "@mantine/core";
import { useMemo } from "react";
import type { ContainerStatus } from "../api/types";
import { useServerNow } from "../layout/clock";
import { Problem } from "../layout/Problem";
import { PlotCard } from "../metrics/PlotCard";
import { usePlayers, useTelemetry } from "./queries";
import { buildGamePlots, joinPoints, rangeOf } from "./telemetry";
import { Name } from "../layout/Name";

export function TelemetrySection({ status }: { status: ContainerStatus }) {
  const isHeard = status.connection === "online";
  const { data, error, isPending, refetch } = useTelemetry(status.vmid, isHeard);
  const { data: players } = usePlayers(status.vmid, isHeard);
  const nowMs = useServerNow(true, 10_000);
  const most = players?.max ?? null;
  const { points, plots } = useMemo(() => {
    const all = joinPoints(data?.points ?? [], data?.now ?? null);
    return { points: all, plots: buildGamePlots(all, most) };
  }, [data, most]);
  return (
    <section aria-label="Over time">
      <Title order={2} mb="xs">Over time{data?.serverVersion && <Text span size="sm" c="dimmed" fw={400}> the server calls itself <Name text={data.serverVersion} /></Text>}</Title>
      {!isHeard && !data && <Paper><Text size="sm" c="dimmed">The agent of this container is not heard now, and only it has looked at the server.</Text></Paper>}
      {isHeard && error && !data && <Problem error={error} title="How the server was is not known" onRetry={() => void refetch()} />}
      {isHeard && isPending && <Skeleton h={220} role="status" aria-label="Loading" />}
      {data && plots.length === 0 && <Paper><Text size="sm" c="dimmed" data-testid="no-telemetry">Nothing yet. A server that runs is looked at once a minute; games that answer no ping show less here.</Text></Paper>}
      <SimpleGrid cols={1} spacing="md">{plots.map((plot) => <PlotCard key={plot.id} plot={plot} range={rangeOf(points, nowMs)} />)}</SimpleGrid>
    </section>
  );
}

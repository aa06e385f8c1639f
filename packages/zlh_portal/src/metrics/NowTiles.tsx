/** The figures of this moment. */
import { Paper, Progress, SimpleGrid, Text } from "@mantine/core";
import type { Metrics } from "../api/types";
import { formatDuration } from "../layout/words";
import { formatFigure, formatShare, type Unit } from "./units";

export function NowTiles({ metrics: { container, processes } }: { metrics: Metrics }) {
  const threads = processes.reduce((all, { usage }) => all + usage.threads, 0);
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, md: 5 }} spacing="sm" data-testid="metrics-now">
      <Tile name="CPU" value={container.cpuCores} unit="cores" limit={container.cpuLimitCores} />
      <Tile name="Memory" value={container.memoryBytes} unit="bytes" limit={container.memoryLimitBytes} />
      <Tile name="Disk" value={container.diskUsedBytes} unit="bytes" limit={container.diskTotalBytes} />
      <Tile name="Processes" value={container.processes} unit="count" limit={container.processesLimit} note={threads > 0 ? `${threads} threads in what the agent runs` : null} />
      <Paper p="sm"><Text size="xs" c="dimmed">Up for</Text><Text fw={600} className="numbers">{formatDuration(container.uptimeS * 1000)}</Text></Paper>
    </SimpleGrid>
  );
}

interface TileProps {
  name: string;
  value: number | null;
  unit: Unit;
  limit: number | null;
  note?: string | null;
}

function Tile({ name, value, unit, limit, note = null }: TileProps) {
  const share = value === null ? null : formatShare(value, limit);
  const percent = value === null || limit === null || limit <= 0 ? null : Math.min(100, (value / limit) * 100);
  return (
    <Paper p="sm">
      <Text size="xs" c="dimmed">{name}</Text>
      <Text fw={600} className="numbers">{value === null ? "–" : formatFigure(value, unit)}</Text>
      {percent !== null && limit !== null && (
        <>
          <Progress value={percent} size="xs" mt={4} mb={2} color={percent > 90 ? "red" : "indigo"} aria-label={`${name}: ${share ?? ""} of what may be used`} />
          <Text size="xs" c="dimmed" className="numbers">{share} of {formatFigure(limit, unit)}</Text>
        </>
      )}
      {note && <Text size="xs" c="dimmed" className="numbers">{note}</Text>}
    </Paper>
  );
}

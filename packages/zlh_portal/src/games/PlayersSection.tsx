/** Who plays now, and who has. */
import { Group, SegmentedControl, Skeleton, Text } from "@mantine/core";
import { useState } from "react";
import type { ContainerStatus, PlayerSession } from "../api/types";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { formatDuration } from "../layout/words";
import { usePlayers, useStays } from "./queries";
import { describeIncomplete, describePlayers } from "./words";

const VIEWS = [{ value: "now", label: "Now" }, { value: "before", label: "Before" }];

export function PlayersSection({ status }: { status: ContainerStatus }) {
  const [view, setView] = useState("now");
  const isHeard = status.connection === "online";
  const action = <SegmentedControl size="xs" aria-label="Which players" data={VIEWS} value={view} onChange={setView} />;
  return (
    <Section title="Players" action={action}>
      {!isHeard && <Text size="sm" c="dimmed">The agent of this container is not heard now, and only it knows who plays.</Text>}
      {isHeard && (view === "now" ? <Now vmid={status.vmid} isRunning={status.lifecycle === "running"} /> : <Before vmid={status.vmid} />)}
    </Section>
  );
}

function Now({ vmid, isRunning }: { vmid: number; isRunning: boolean }) {
  const { data, error, refetch } = usePlayers(vmid, true);
  if (error && !data) return <Problem error={error} title="Who plays is not known" onRetry={() => void refetch()} />;
  if (!data) return <Skeleton h={60} role="status" aria-label="Asking who plays" />;
  const incomplete = describeIncomplete(data);
  return (
    <>
      <Text size="xl" fw={650} className="numbers" data-testid="player-count">{describePlayers(data)}</Text>
      {data.count === 0 && <Text size="sm" c="dimmed">{isRunning ? "Nobody plays now. Give the address to somebody, and they appear here as they join." : "The server does not run, so nobody can play."}</Text>}
      {incomplete && <Text size="xs" c="dimmed">{incomplete}</Text>}
      <ul className={rows["list"]} aria-label="Players now">
        {data.online.map(({ name, since }) => (
          <li key={name}><Group justify="space-between" gap="xs" py={4}><Text size="sm"><Name text={name} /></Text><Text size="xs" c="dimmed">joined <TimeAgo time={since} /></Text></Group></li>
        ))}
      </ul>
    </>
  );
}

function Before({ vmid }: { vmid: number }) {
  const query = useStays(vmid, true);
  const stays = query.data?.pages.flatMap(({ items }) => items) ?? [];
  if (query.error && !query.data) return <Problem error={query.error} title="Who has played is not known" onRetry={() => void query.refetch()} />;
  if (query.isPending) return <Skeleton h={60} role="status" aria-label="Asking who has played" />;
  if (stays.length === 0) return <Text size="sm" c="dimmed">Nobody has played here yet. Every stay is kept from the first on.</Text>;
  return (
    <>
      <ul className={rows["list"]} aria-label="Players before">{stays.map((stay) => <Stay key={`${stay.name} ${stay.joinedAt}`} stay={stay} />)}</ul>
      <LoadMore query={query} label="Earlier ones" />
    </>
  );
}

function Stay({ stay: { name, joinedAt, leftAt, leftForCertain } }: { stay: PlayerSession }) {
  const took = leftAt === null ? "plays now" : `${leftForCertain ? "" : "at most "}${formatDuration(Date.parse(leftAt) - Date.parse(joinedAt))}`;
  return (
    <li><Group justify="space-between" gap="xs" py={4}><Text size="sm"><Name text={name} /></Text><Text size="xs" c="dimmed" className="numbers">{took}, joined <TimeAgo time={joinedAt} /></Text></Group></li>
  );
}

/** How the platform stands: what books and world disagree on, what is being worked on, and who looks. */
import { Alert, Anchor, Button, Group, Paper, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import type { AuditReport, AuditStatus, QueueFigures } from "../api/types";
import { useServerNow } from "../layout/clock";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { COLOUR_OF } from "../layout/tone";
import { FindingGroups } from "./FindingGroups";
import classes from "./platform.module.css";
import { useAudit, useLookNow } from "./queries";
import { countLooked, figuresOf, judge, namePart } from "./standing";
import { WorkList } from "./WorkList";

export function StandingTab() {
  const query = useAudit();
  const look = useLookNow();
  if (query.isPending) return <Stack gap="md" role="status" aria-label="Loading the platform"><Skeleton h={36} /><Skeleton h={90} /><Skeleton h={160} /></Stack>;
  return (
    <Stack gap="lg">
      <Group justify="space-between" gap="xs">
        <Text c="dimmed" size="sm" flex="1 1 300px">What the database says beside what is really there. It is compared by itself; what can be put right is.</Text>
        <Button variant="default" loading={look.isPending} onClick={() => look.mutate()}>Look now</Button>
      </Group>
      {query.data && <Standing status={query.data} />}
      {query.error && <Problem error={query.error} title={query.data ? "What is shown may be old" : "The platform cannot be read"} onRetry={() => void query.refetch()} />}
      {look.error && <Problem error={look.error} title="Nobody could be asked to look" />}
      {query.data?.report && <FindingGroups report={query.data.report} />}
      {query.data && <Queue queue={query.data.queue} />}
      {query.data && <WorkList work={query.data.work} leftOut={query.data.workLeftOut} />}
    </Stack>
  );
}

function Standing({ status }: { status: AuditStatus }) {
  const now = useServerNow(true, 5_000);
  const { tone, title, detail } = judge(status, now);
  return (
    <Alert color={COLOUR_OF[tone]} title={title} data-testid="standing" data-tone={tone}>
      {detail && <Text size="sm">{detail}</Text>}
      {status.report && <LastLook report={status.report} />}
    </Alert>
  );
}

function LastLook({ report }: { report: AuditReport }) {
  const moment = new Date(report.lookedAt).toLocaleTimeString(undefined, { timeStyle: "medium" });
  return (
    <>
      <Text size="sm" component="div" className="numbers" data-testid="last-look">
        Last look <TimeAgo time={report.lookedAt} />, at {moment}: {countLooked(report)}, in {report.tookMs} ms.
      </Text>
      {report.parts.filter(({ trouble }) => trouble !== null).map(({ name, trouble }) => (
        <Text key={name} size="sm" style={{ overflowWrap: "anywhere" }} data-testid={`part-${name}`}>Not looked at: {namePart(name)}. {trouble}</Text>
      ))}
    </>
  );
}

function Queue({ queue }: { queue: QueueFigures }) {
  return (
    <section aria-labelledby="queue">
      <Group justify="space-between" gap="xs" mb="xs">
        <Title order={2} fz="lg" id="queue">Containers on their way</Title>
        <Anchor component={Link} to="/platform/journal?outcome=failed" size="sm">What failed lately</Anchor>
      </Group>
      <SimpleGrid cols={{ base: 2, xs: 4 }} spacing="sm" data-testid="queue">
        {figuresOf(queue).map(({ label, value, isAlarming }) => (
          <Paper key={label} p="sm">
            <Text size="xs" c="dimmed">{label}</Text>
            <Text fw={600} className={isAlarming ? `numbers ${classes["alarm"]}` : "numbers"} data-testid={`queue-${label.toLowerCase().replace(" ", "-")}`}>{value}</Text>
          </Paper>
        ))}
      </SimpleGrid>
    </section>
  );
}

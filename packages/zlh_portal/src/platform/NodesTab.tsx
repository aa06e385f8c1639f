/** The machines that containers are on: how each is, since when, and what it holds. */
import { Alert, Group, Skeleton, Stack, Text } from "@mantine/core";
import type { PlatformNode, PlatformNodes } from "../api/types";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { countContainers, describeNode, explainLimits, type Share, sharesOf, sortNodes } from "./nodes";
import classes from "./nodes.module.css";
import { useNodes } from "./queries";

export function NodesTab() {
  const query = useNodes();
  const found = query.data;
  if (query.isPending) return <Stack gap="md" role="status" aria-label="Loading the nodes"><Skeleton h={160} /><Skeleton h={160} /></Stack>;
  return (
    <Stack gap="md" data-testid="nodes">
      {query.error && <Problem error={query.error} title={found ? "What is shown may be old" : "The nodes cannot be listed"} onRetry={() => void query.refetch()} />}
      {found && <Found found={found} />}
    </Stack>
  );
}

function Found({ found }: { found: PlatformNodes }) {
  const meaning = explainLimits(found);
  return (
    <>
      {found.trouble && <Alert color="red" title="Nobody can tell how the nodes are" data-testid="nodes-trouble"><Text size="sm" style={{ overflowWrap: "anywhere" }}>{found.trouble} These are the nodes that were seen last.</Text></Alert>}
      {found.nodes.length === 0 && <Text size="sm" c="dimmed">No node was ever seen.</Text>}
      {sortNodes(found.nodes).map((node) => <Node key={node.name} node={node} />)}
      {found.unplaced > 0 && <Text size="sm" c="dimmed" data-testid="unplaced"><span className="numbers">{found.unplaced}</span> {found.unplaced === 1 ? "container is" : "containers are"} on no node yet. What they wait for stands under Standing.</Text>}
      {meaning && <Text size="sm" c="dimmed">{meaning}</Text>}
    </>
  );
}

function Node({ node }: { node: PlatformNode }) {
  const words = describeNode(node);
  return (
    <Section
      title={node.name}
      about={<><span className="numbers">{countContainers(node)}</span>{node.cores !== null && <> · <span className="numbers">{node.cores}</span> {node.cores === 1 ? "core" : "cores"}, <span className="numbers">{round(node.reservedCpu)}</span> promised</>}</>}
      action={<Group gap={8}><ToneBadge words={words} testId="node-state" /><Text size="xs" c="dimmed" component="div">since <TimeAgo time={node.since} /></Text></Group>}
    >
      {node.reason && <Text size="sm" mb="sm" style={{ overflowWrap: "anywhere" }} data-testid="node-reason">{node.reason}</Text>}
      {node.state !== "unknown" && <dl className={classes["shares"]}>{sharesOf(node).map((share) => <ShareBar key={share.label} share={share} />)}</dl>}
    </Section>
  );
}

function ShareBar({ share: { label, share, text, tone } }: { share: Share }) {
  return (
    <div>
      <dt className={classes["label"]}>{label}</dt>
      <dd className={classes["figure"]}>
        <span className="numbers">{text}</span>
        {share !== null && <span className={classes["bar"]} aria-hidden="true"><span className={classes["part"]} data-tone={tone} style={{ width: `${Math.min(100, share * 100)}%` }} /></span>}
      </dd>
    </div>
  );
}

function round(cpu: number): string {
  return String(Math.round(cpu * 10) / 10);
}

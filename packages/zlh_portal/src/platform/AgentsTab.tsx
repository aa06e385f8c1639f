/** Which versions of the agent there are, and the roll-out that brings all containers to one. */
import { Alert, Button, Code, Group, Skeleton, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import { Link } from "react-router";
import type { FleetAgents, Rollout, RolloutMember } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { TimeUntil } from "../layout/TimeUntil";
import { ToneBadge } from "../layout/ToneBadge";
import type { Tone } from "../layout/tone";
import { tellProblem } from "../layout/tell";
import { showUnseen } from "../layout/words";
import { useWhyNot } from "../session/session";
import bars from "./agents.module.css";
import { countStates, describeMember, describeRollout, isTroubled, MEMBER_STATES, type MoveWords, movesOf, nameWave, tellUnable } from "./agents";
import { useAgents, useMembers, useMoveRollout, useRollouts } from "./agentQueries";
import classes from "./platform.module.css";
import { RolloutForm } from "./RolloutForm";
import { Said } from "../layout/Said";

export function AgentsTab() {
  const agents = useAgents();
  const rollouts = useRollouts();
  const error = agents.error ?? rollouts.error;
  if (agents.isPending || rollouts.isPending) return <Stack gap="md" role="status" aria-label="Loading the agents"><Skeleton h={120} /><Skeleton h={160} /></Stack>;
  const [newest, ...former] = rollouts.data?.items ?? [];
  const refetch = () => void Promise.all([agents.refetch(), rollouts.refetch()]);
  return (
    <Stack gap="md" data-testid="agents">
      {error && <Problem error={error} title={agents.data ? "What is shown may be old" : "The agents cannot be listed"} onRetry={refetch} />}
      {agents.data && <Versions agents={agents.data} newest={newest} />}
      {newest && <Current key={newest.id} rollout={newest} />}
      {former.length > 0 && <Former rollouts={former} />}
    </Stack>
  );
}

function Versions({ agents, newest }: { agents: FleetAgents; newest: Rollout | undefined }) {
  const mayManage = useWhyNot("platform:manage") === null;
  const [isStarting, { open, close }] = useDisclosure(false);
  const canStart = mayManage && agents.offers.length > 0;
  const parts = agents.versions.map(({ version, containers, isOffered }, index): Part => ({ name: version, size: containers, tone: index === 0 && isOffered ? "good" : "quiet" }));
  return (
    <Section title="Versions of the agent" about="What the containers' own agents say that they are." action={canStart && <Button onClick={open}>Start a roll-out</Button>}>
      {agents.versions.length === 0 && <Text size="sm" c="dimmed">No agent has been heard of yet.</Text>}
      <Bar parts={parts} />
      <ul className={classes["list"]} data-testid="agent-versions">
        {agents.versions.map(({ version, containers, online, tooOld, fixed, isOffered }) => (
          <li key={version} className={classes["item"]}>
            <div className={classes["what"]}><Name text={version} /></div>
            <div className={classes["text"]}>
              <Text size="sm">
                <span className="numbers">{containers}</span> {containers === 1 ? "container" : "containers"}, <span className="numbers">{online}</span> online
                {!isOffered && " · not in the catalog"}
              </Text>
              {tellUnable({ tooOld, fixed }).map((said) => <Text key={said} size="sm" c="dimmed" data-testid="agents-unable">{said}</Text>)}
            </div>
          </li>
        ))}
      </ul>
      {agents.offers.length === 0 && (
        <Alert title="The catalog offers no agent yet" mt="md" data-testid="no-agent-offered">
          <Text size="sm">Build a release and publish it with <Code>zlh-api artifacts publish</Code>. Its version can be rolled out from here once the catalog has it, within a minute.</Text>
        </Alert>
      )}
      {agents.offers.length > 0 && !newest && <Text size="sm" c="dimmed" mt="sm">Nothing was rolled out yet. A roll-out begins with one container, and halts by itself where too many fail.</Text>}
      {isStarting && <RolloutForm agents={agents} onClose={close} />}
    </Section>
  );
}

function Current({ rollout }: { rollout: Rollout }) {
  const words = describeRollout(rollout);
  return (
    <Section
      title={`Roll-out of ${rollout.version}`}
      about={<>Started by <Name text={rollout.startedBy} /> <TimeAgo time={rollout.createdAt} />. {words.meaning}</>}
      action={<ToneBadge words={words} testId="rollout-state" />}
    >
      {rollout.reason && <Alert color={rollout.state === "halted" ? "red" : "indigo"} mb="sm" data-testid="rollout-reason">{rollout.reason}</Alert>}
      {rollout.nextWaveAt && <Text size="sm" component="div" mb="sm">This wave is watched; what follows begins <TimeUntil time={rollout.nextWaveAt} ended="now" />.</Text>}
      <Moves rollout={rollout} />
      <ol className={classes["list"]} aria-label="Waves" data-testid="rollout-waves">
        {rollout.waves.map(({ counts, containers }, index) => (
          <li key={index} className={classes["item"]} aria-current={index === rollout.wave ? "step" : undefined}>
            <div className={classes["what"]}>{nameWave(rollout, index)}<Text size="xs" c="dimmed" fw={400} className="numbers">{containers} {containers === 1 ? "container" : "containers"}</Text></div>
            <div className={classes["text"]}>
              <Bar parts={MEMBER_STATES.map((state) => ({ name: describeMember(state).label, size: counts[state] ?? 0, tone: describeMember(state).tone }))} />
              <Text size="sm">{countStates(counts)}</Text>
            </div>
          </li>
        ))}
      </ol>
      <Members rollout={rollout} />
    </Section>
  );
}

function Moves({ rollout }: { rollout: Rollout }) {
  const mayManage = useWhyNot("platform:manage") === null;
  const move = useMoveRollout(rollout.id);
  const [asked, setAsked] = useState<MoveWords | null>(null);
  if (!mayManage) return null;
  const carryOut = ({ move: which }: MoveWords) => move.mutate(which, { onError: tellProblem("It could not be done"), onSettled: () => setAsked(null) });
  return (
    <Stack gap={6} mb="sm">
      {movesOf(rollout).map((words) => (
        <Group key={words.move} gap="sm" wrap="nowrap" align="center">
          <Button size="xs" variant="default" miw={150} loading={move.isPending && move.variables === words.move} onClick={() => (words.isEnd ? setAsked(words) : carryOut(words))}>{words.label}</Button>
          <Text size="sm" c="dimmed">{words.meaning}</Text>
        </Group>
      ))}
      {asked && <ConfirmModal title={`${asked.label} the roll-out?`} meaning={asked.meaning} action="Cancel the roll-out" isPending={move.isPending} onConfirm={() => carryOut(asked)} onClose={() => setAsked(null)} />}
    </Stack>
  );
}

function Members({ rollout }: { rollout: Rollout }) {
  const [isOpen, { toggle }] = useDisclosure(rollout.state === "halted");
  return (
    <>
      <Button size="xs" variant="default" mt="sm" aria-expanded={isOpen} onClick={toggle}>{isOpen ? "Hide the containers" : "Show the containers"}</Button>
      {isOpen && <MemberList rollout={rollout} />}
    </>
  );
}

function MemberList({ rollout }: { rollout: Rollout }) {
  const query = useMembers(rollout.id);
  const members = query.data?.pages.flatMap((page) => page.members) ?? [];
  if (query.isPending) return <Skeleton h={120} mt="sm" role="status" aria-label="Loading the containers" />;
  return (
    <Stack mt="sm" gap="sm">
      {query.error && !query.isFetchNextPageError && <Problem error={query.error} title="The containers cannot be listed" onRetry={() => void query.refetch()} />}
      {members.length === 0 && !query.error && <Text size="sm" c="dimmed">No container has an older agent.</Text>}
      <ul className={classes["list"]} aria-label="Containers of the roll-out">{members.map((member) => <Member key={member.vmid} member={member} rollout={rollout} />)}</ul>
      <LoadMore query={query} label="Load more containers" />
    </Stack>
  );
}

function Member({ member, rollout }: { member: RolloutMember; rollout: Rollout }) {
  return (
    <li className={classes["item"]} data-testid={`member-${member.vmid}`}>
      <div className={classes["what"]}>
        <Link className={classes["link"] ?? ""} to={`/containers/${member.vmid}`}><Name text={member.name || String(member.vmid)} /></Link>
        <Text size="xs" c="dimmed" fw={400} className="numbers">{member.vmid} · {nameWave(rollout, member.wave)}</Text>
      </div>
      <div className={classes["text"]}>
        <ToneBadge words={describeMember(member.state)} testId="member-state" /> <Text size="xs" c="dimmed" component="span"><TimeAgo time={member.changedAt} /></Text>
        {isTroubled(member) && <Text size="sm"><Said text={member.message ?? ""} />{member.code !== null && <> <Code><Name text={member.code} /></Code></>}{member.exitCode !== null && <> Exit code <span className="numbers">{member.exitCode}</span>.</>}</Text>}
        {member.output && <details><summary>What it printed last</summary><Code block className={bars["output"] ?? ""}><bdi>{showUnseen(member.output)}</bdi></Code></details>}
      </div>
    </li>
  );
}

function Former({ rollouts }: { rollouts: readonly Rollout[] }) {
  return (
    <Section title="Before">
      <ul className={classes["list"]}>
        {rollouts.map((rollout) => (
          <li key={rollout.id} className={classes["item"]}>
            <div className={classes["what"]}>{rollout.version}<Text size="xs" c="dimmed" fw={400} component="div"><TimeAgo time={rollout.createdAt} /></Text></div>
            <div className={classes["text"]}><ToneBadge words={describeRollout(rollout)} testId="former-state" /></div>
          </li>
        ))}
      </ul>
    </Section>
  );
}

interface Part {
  name: string;
  size: number;
  tone: Tone;
}

/** Shares of a whole; what it shows stands beside it in words. */
function Bar({ parts }: { parts: readonly Part[] }) {
  const shown = parts.filter(({ size }) => size > 0);
  if (shown.length === 0) return null;
  return <div className={bars["bar"]} aria-hidden="true">{shown.map(({ name, size, tone }) => <span key={name} className={bars["part"]} data-tone={tone} style={{ flexGrow: size }} />)}</div>;
}

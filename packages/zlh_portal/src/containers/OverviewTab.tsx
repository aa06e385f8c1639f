/** How a container is: its agent, what runs in it, where it is found, and how it came to be. */
import { Grid, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { OpenEditor } from "../addons/OpenEditor";
import { describeAddon, titleOfAddon } from "../addons/words";
import type { ContainerStatus } from "../api/types";
import { describeInstalled } from "../games/words";
import { AddressLink } from "../layout/AddressLink";
import { Name } from "../layout/Name";
import { TimeAgo } from "../layout/TimeAgo";
import { ProcessList } from "../processes/ProcessList";
import { useWhyNot } from "../session/session";
import classes from "./containers.module.css";
import { ProofChain } from "./ProofChain";
import { ConnectionBadge } from "./StateBadge";
import { describeSize } from "./sizes";
import { describeLifecycle, describeRuntimes, isWayBroken, tellFixed } from "./states";
import { StepsTimeline } from "./StepsTimeline";
import { splitSteps } from "./timeline";
import { hasWorkspace } from "./workspace";
import { WorkspaceCard } from "./WorkspaceCard";
import { Said } from "../layout/Said";

export function OverviewTab({ status }: { status: ContainerStatus }) {
  const { first, later } = splitSteps(status);
  const isOperator = useWhyNot("platform:view") === null;
  const isUpToDate = status.observedGeneration === status.specGeneration;
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, md: 6 }} order={{ base: 2, md: 1 }}>
        <Stack gap="md">
          <Card title="State">
            <Text size="sm" mb="sm">{describeLifecycle(status).meaning}</Text>
            <dl className={classes["facts"]}>
              <Fact name="Ready">{status.ready ? "Yes, every step on the way to it is proved" : tellWhyNot(status)}</Fact>
              <Fact name="Agent"><ConnectionBadge status={status} /></Fact>
              {status.agent && <Fact name="Agent's version"><Said text={status.agent.version} />{tellFixed(status.agent, isOperator)}</Fact>}
              <Fact name="Last heard of"><TimeAgo time={status.observedAt} /></Fact>
              <Fact name="Wish applied">{isUpToDate ? "Yes" : "Not yet, the agent is still at an older one"}</Fact>
              <Fact name="Created"><TimeAgo time={status.createdAt} /></Fact>
            </dl>
          </Card>
          <Card title="What is in it">
            <dl className={classes["facts"]}>
              {status.game && <Fact name="Game"><Name text={status.game.title} /> {describeInstalled(status.game)}</Fact>}
              <Fact name="Runtimes">{describeRuntimes(status) || "None yet"}</Fact>
              <Fact name="Size">{describeSize(status.resourcesInForce ?? status.resources)}</Fact>
              {status.addons.map((addon) => (
                <Fact key={addon.name} name={<Name text={titleOfAddon(addon.name)} />}><Stack gap={6} align="flex-start"><span>{describeAddon(addon).label}</span><OpenEditor addon={addon} status={status} /></Stack></Fact>
              ))}
            </dl>
          </Card>
          {hasWorkspace(status) && <Card title="Workspace"><WorkspaceCard status={status} /></Card>}
          <Card title="Processes"><ProcessList status={status} /></Card>
          <Card title="Addresses">
            <dl className={classes["facts"]}>
              {status.game && <Fact name="Players">{status.game.address ? <AddressLink address={status.game.address} /> : "No public port"}</Fact>}
              <Fact name="Host name"><AddressLink address={status.hostname} /></Fact>
              <Fact name="Web">{status.url ? <AddressLink address={status.url} /> : "None until the route is published"}</Fact>
            </dl>
          </Card>
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 6 }} order={{ base: 1, md: 2 }}>
        <Stack gap="md">
          {status.provisioningComplete && status.lifecycle !== "deleting" && <Card title="Way to it"><ProofChain status={status} /></Card>}
          {later.length > 0 && <Card title="Asked for since"><StepsTimeline status={{ ...status, steps: later }} /></Card>}
          <Card title={status.lifecycle === "deleting" ? "Deletion" : "Provisioning"}><StepsTimeline status={{ ...status, steps: first }} /></Card>
        </Stack>
      </Grid.Col>
    </Grid>
  );
}

function tellWhyNot({ lifecycle, degraded }: ContainerStatus): string {
  if (lifecycle === "deleting") return "No, it is being deleted";
  return isWayBroken(degraded) ? "No, the way to it is broken" : "Not yet";
}

function Card({ title, children }: { title: string; children: ReactNode }) {
  return <Paper><Title order={2} mb="xs">{title}</Title>{children}</Paper>;
}

function Fact({ name, children }: { name: ReactNode; children: ReactNode }) {
  return <><dt>{name}</dt><dd>{children}</dd></>;
}

/** What is installed, how far what is wished is, and how one gets another version. */
import { Badge, Button, Code, Group, Paper, Progress, Stack, Text, Title, Tooltip } from "@mantine/core";
import { Link } from "react-router";
import type { ContainerStatus, InstalledRuntime } from "../api/types";
import { TimeAgo } from "../layout/TimeAgo";
import { formatBytes } from "../layout/words";
import { useRuntimeOffers } from "./queries";

export function RuntimesTab({ status }: { status: ContainerStatus }) {
  const installed = new Set(status.runtimes.map((runtime) => runtime.name));
  const wished = status.steps.filter((step) => step.name.startsWith("install-") && !installed.has(nameOf(step.name)));
  return (
    <Stack gap="md">
      {wished.map((step) => (
        <Paper key={step.name} data-testid={`wished-${nameOf(step.name)}`}>
          <Group justify="space-between"><Text fw={600}>{nameOf(step.name)}</Text><Badge variant="light" color={step.state === "failed" ? "red" : "indigo"}>{step.state === "running" ? "Installing" : step.state}</Badge></Group>
          {step.progress !== null && <Progress value={step.progress * 100} mt="sm" aria-label={`Installing ${nameOf(step.name)}`} />}
          {step.message && <Text size="sm" c={step.state === "failed" ? "red" : "dimmed"} mt="xs">{step.message}</Text>}
        </Paper>
      ))}
      {status.runtimes.map((runtime) => <RuntimeCard key={`${runtime.name} ${runtime.version}`} runtime={runtime} />)}
      {wished.length === 0 && status.runtimes.length === 0 && <Paper><Text c="dimmed" size="sm">Nothing is installed yet.</Text></Paper>}
      <OtherVersions status={status} />
    </Stack>
  );
}

function RuntimeCard({ runtime }: { runtime: InstalledRuntime }) {
  return (
    <Paper data-testid={`runtime-${runtime.name}`}>
      <Group gap="xs">
        <Title order={2}>{runtime.name} {runtime.version}</Title>
        {runtime.default && <Badge variant="light">Default</Badge>}
        <Tooltip label={runtime.verified ? "Every file is as the signed catalog says." : "Files differ from the signed catalog."}>
          <Badge variant="light" color={runtime.verified ? "teal" : "orange"} tabIndex={0}>{runtime.verified ? "Verified" : "Not verified"}</Badge>
        </Tooltip>
      </Group>
      <Text size="sm" c="dimmed" mt={4} component="div">{formatBytes(runtime.size)}, installed <TimeAgo time={runtime.installedAt} /> from <span className="mono">{runtime.source}</span></Text>
      <Text size="xs" c="dimmed" mt={4}>SHA-256 <Code style={{ overflowWrap: "anywhere" }}>{runtime.sha256}</Code></Text>
    </Paper>
  );
}

/** The API takes the wish for a runtime only when a container is created, so that is what is offered. */
function OtherVersions({ status }: { status: ContainerStatus }) {
  const { data: offers } = useRuntimeOffers();
  const has = (name: string, version: string) => status.runtimes.some((runtime) => runtime.name === name && runtime.version === version);
  const others = offers?.flatMap((offer) => offer.versions.filter(({ version }) => !has(offer.name, version)).map(({ version }) => `${offer.title} ${version}`)) ?? [];
  if (status.kind !== "dev" || others.length === 0) return null;
  return (
    <Group justify="space-between" gap="sm">
      <Text size="sm" c="dimmed" maw={620}>
        A container keeps the runtime it was created with. The catalog also offers {others.join(", ")}: create another container for that.
      </Text>
      <Button component={Link} to="/containers/new" variant="default">Create container</Button>
    </Group>
  );
}

function nameOf(step: string): string {
  return step.slice("install-".length);
}

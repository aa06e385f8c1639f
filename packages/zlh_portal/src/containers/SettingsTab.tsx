/** Everything about a container that its customer decides: its name, whether it runs, its size, and its end. */
import { Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { ReactNode } from "react";
import type { ContainerStatus } from "../api/types";
import { useMayChange } from "../session/session";
import { DeleteSection } from "./DeleteSection";
import { PowerButtons } from "./PowerButtons";
import { RenameModal } from "./RenameModal";
import { SizeSection } from "./SizeSection";
import { StateBadge } from "./StateBadge";
import { describeLifecycle } from "./states";
import { StepsTimeline } from "./StepsTimeline";

export function SettingsTab({ status }: { status: ContainerStatus }) {
  const mayChange = useMayChange(status);
  const [isRenaming, { open, close }] = useDisclosure(false);
  if (status.lifecycle === "deleting") {
    return (
      <Paper maw={720} data-testid="deleting">
        <Title order={2} mb="xs">{status.name} is being deleted</Title>
        <Text size="sm" c="dimmed" mb="md">You are brought back to the list once it is gone.</Text>
        <StepsTimeline status={status} />
      </Paper>
    );
  }
  if (!mayChange) return <Text c="dimmed">You may look at this container, not change it. Ask an owner for the role of a member.</Text>;
  return (
    <Stack maw={720} gap="md">
      <Section title="Name">
        <Group justify="space-between" gap="sm">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>{status.name}</Text>
          <Button variant="default" onClick={open}>Rename</Button>
        </Group>
        {isRenaming && <RenameModal status={status} onClose={close} />}
      </Section>
      <Section title="Power">
        <Group justify="space-between" gap="sm">
          <Group gap="xs"><StateBadge status={status} /><Text size="sm" c="dimmed">{describeLifecycle(status).meaning}</Text></Group>
          <PowerButtons status={status} withKill />
        </Group>
      </Section>
      <Section title="Size"><SizeSection status={status} /></Section>
      <Section title="Delete"><DeleteSection status={status} /></Section>
    </Stack>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return <Paper component="section" aria-label={title}><Title order={2} mb="sm">{title}</Title>{children}</Paper>;
}

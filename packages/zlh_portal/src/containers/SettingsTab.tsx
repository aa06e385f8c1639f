/** Everything about a container that its customer decides: its name, whether it runs, its size, and its end. */
import { Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { ContainerStatus } from "../api/types";
import { Section } from "../layout/Section";
import { MayNot } from "../session/MayNot";
import { useRights } from "../session/session";
import { DeleteSection } from "./DeleteSection";
import { PowerButtons } from "./PowerButtons";
import { RenameModal } from "./RenameModal";
import { SizeSection } from "./SizeSection";
import { StateBadge } from "./StateBadge";
import { describeLifecycle } from "./states";
import { StepsTimeline } from "./StepsTimeline";
import { WhileMay } from "../session/WhileMay";

export function SettingsTab({ status }: { status: ContainerStatus }) {
  const may = useRights(status);
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
  return (
    <Stack maw={720} gap="md">
      <MayNot permission="containers:change" customerId={status.customerId} />
      <WhileMay may={may.change}>
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
          {may.power && <PowerButtons status={status} mayKill />}
        </Group>
      </Section>
      <Section title="Size"><SizeSection status={status} /></Section>
      <Section title="Delete"><DeleteSection status={status} /></Section>
      </WhileMay>
    </Stack>
  );
}

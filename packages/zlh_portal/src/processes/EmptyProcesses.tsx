/** What a process is, and an example to begin with. */
import { Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { PlusIcon } from "../layout/icons";
import { MayNot } from "../session/MayNot";
import { type Draft, newDraft } from "./draft";

// Runs wherever there is a shell, and shows on its console that it does.
const EXAMPLE: Partial<Draft> = {
  name: "ticker",
  command: `sh -c 'i=0; while :; do i=$((i+1)); echo "tick $i"; sleep 2; done'`,
};

export function EmptyProcesses({ customerId, mayChange, onCreate }: { customerId: string; mayChange: boolean; onCreate: (draft: Draft) => void }) {
  return (
    <Paper py={40} data-testid="no-processes">
      <Stack align="center" gap="sm" maw={520} mx="auto" ta="center">
        <Title order={2}>No processes yet</Title>
        <Text c="dimmed" size="sm">
          A process is a program that should always run: a web server, a bot, a worker. The container starts it when it
          boots, notices when it is ready, keeps what it prints, and starts it again when it crashes.
        </Text>
        {mayChange ? (
          <Group gap="xs" mt="xs" justify="center">
            <Button leftSection={<PlusIcon />} onClick={() => onCreate(newDraft())}>Add process</Button>
            <Button variant="default" onClick={() => onCreate(newDraft(EXAMPLE))}>Try an example</Button>
          </Group>
        ) : (
          <MayNot permission="containers:change" customerId={customerId} />
        )}
      </Stack>
    </Paper>
  );
}

/** What a newcomer sees. */
import { Button, Paper, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import { Link } from "react-router";
import { BoxIcon, PlusIcon } from "../layout/icons";

export function EmptyList({ reason }: { reason: string | null }) {
  return (
    <Paper py={56} data-testid="empty">
      <Stack align="center" gap="sm" maw={460} mx="auto" ta="center">
        <ThemeIcon variant="light" size={64} radius="xl"><BoxIcon /></ThemeIcon>
        <Title order={2}>No containers yet</Title>
        <Text c="dimmed" size="sm">
          A container is a small machine of your own: a runtime such as Node.js or Go is installed in it, you work in its
          terminal or in an editor in the browser, and a port that your program listens on gets a web address. Or it is a game server, with an address that players type.
        </Text>
        {reason === null ? <Button component={Link} to="/containers/new" leftSection={<PlusIcon />} mt="xs">Create container</Button> : <Text size="sm">{reason}</Text>}
      </Stack>
    </Paper>
  );
}

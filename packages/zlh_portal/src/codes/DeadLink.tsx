/** What stands where a link leads nowhere. */
import { Anchor, Paper, Stack, Text } from "@mantine/core";
import { Link } from "react-router";

export function DeadLink({ what, next }: { what: string; next: string }) {
  return (
    <Paper p="lg" shadow="sm" role="alert" data-testid="dead-link">
      <Stack gap="sm">
        <Text>{what}</Text>
        <Text size="sm" c="dimmed">{next}</Text>
        <Anchor component={Link} to="/login" size="sm">Sign in</Anchor>
      </Stack>
    </Paper>
  );
}

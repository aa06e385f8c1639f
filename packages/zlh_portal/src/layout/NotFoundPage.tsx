import { Button, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import { usePageTitle } from "./title";

export function NotFoundPage({ what = "page" }: { what?: string }) {
  usePageTitle(`No such ${what}`);
  return (
    <Stack align="center" py={80} gap="sm" data-testid="not-found">
      <Title order={1}>There is no such {what}</Title>
      <Text c="dimmed" ta="center">The address may be mistyped, or what stood here has been deleted.</Text>
      <Button component={Link} to="/" mt="sm">To the containers</Button>
    </Stack>
  );
}

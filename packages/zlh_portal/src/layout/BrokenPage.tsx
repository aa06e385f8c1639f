/** Stands in for a page that threw: a mistake in the portal. */
import { Button, Stack, Text, Title } from "@mantine/core";

export function BrokenPage() {
  return (
    <Stack align="center" py={80} px="md" gap="sm" role="alert">
      <Title order={1}>This page broke</Title>
      <Text c="dimmed" ta="center">Your containers are not affected. Reloading often helps.</Text>
      <Button mt="sm" onClick={() => window.location.reload()}>Reload</Button>
    </Stack>
  );
}

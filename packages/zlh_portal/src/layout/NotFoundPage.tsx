import { Button, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import { usePageTitle } from "./title";

interface Props {
  what?: string;
  /** Whose page goes on around it, and has the way back. */
  within?: { to: string; label: string };
}

export function NotFoundPage({ what = "page", within }: Props) {
  usePageTitle(`No such ${what}`);
  return (
    <Stack align="center" py={80} gap="sm" data-testid="not-found">
      <Title order={within ? 2 : 1}>There is no such {what}</Title>
      <Text c="dimmed" ta="center">The address may be mistyped, or what stood here has been deleted.</Text>
      <Button component={Link} to={within?.to ?? "/"} mt="sm">{within?.label ?? "To the containers"}</Button>
    </Stack>
  );
}

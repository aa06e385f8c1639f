/** The way back, above the title of a page that is one level down. */
import { Button } from "@mantine/core";
import { Link } from "react-router";

export function BackTo({ to, label }: { to: string; label: string }) {
  return (
    <Button component={Link} to={to} variant="subtle" color="gray" c="dimmed" fw={500} size="compact-sm" ml={-8} aria-label={`Back to: ${label}`}>
      ← {label}
    </Button>
  );
}

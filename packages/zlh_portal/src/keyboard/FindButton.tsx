/** Opens the palette for who does not know its key, and tells it; a phone has neither keys nor room for it. */
import { Button, Text } from "@mantine/core";
import { SearchIcon } from "../layout/icons";
import { nameKeys } from "./keys";
import { isApple } from "./machine";

export function FindButton({ onClick }: { onClick: () => void }) {
  const keys = nameKeys("mod+k", isApple())[0];
  return (
    <Button variant="default" size="sm" visibleFrom="sm" leftSection={<SearchIcon />} onClick={onClick} aria-label={`Find a container, a page or an act (${keys})`} aria-keyshortcuts="Control+K Meta+K">
      <Text span size="xs" c="dimmed">{keys}</Text>
    </Button>
  );
}

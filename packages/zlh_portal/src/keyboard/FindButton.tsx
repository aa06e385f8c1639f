/** Opens the palette for who does not know its key, and tells it; a phone has neither keys nor room for it. */
import { Button, Text } from "@mantine/core";
import { SearchIcon } from "../layout/icons";
import { nameKeys } from "./keys";
import { isApple } from "./machine";

export function FindButton({ onClick }: { onClick: () => void }) {
  return (
    <Button variant="default" size="sm" visibleFrom="sm" leftSection={<SearchIcon />} onClick={onClick} title="Find a container, a page or an act" aria-keyshortcuts="Control+K Meta+K">
      Find<Text span size="xs" c="dimmed" ms="xs">{nameKeys("mod+k", isApple())[0]}</Text>
    </Button>
  );
}

/** Copies a text, and says that it did. */
import { ActionIcon, Tooltip } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { CheckIcon, CopyIcon } from "./icons";

export function CopyButton({ text, what }: { text: string; what: string }) {
  const clipboard = useClipboard({ timeout: 1_500 });
  const label = clipboard.copied ? "Copied" : clipboard.error ? "The browser forbids copying" : `Copy ${what}`;
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color={clipboard.copied ? "teal" : "gray"} size="sm" aria-label={label} onClick={() => clipboard.copy(text)}>
        {clipboard.copied ? <CheckIcon /> : <CopyIcon />}
      </ActionIcon>
    </Tooltip>
  );
}

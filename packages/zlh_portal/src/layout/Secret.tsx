/** A text that is shown this once, to be copied and handed on or kept. */
import { Button, Code, Group, Stack, Text } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { CheckIcon, CopyIcon } from "./icons";
import classes from "./Secret.module.css";

interface Props {
  label: string;
  text: string;
  testId: string;
}

export function Secret({ label, text, testId }: Props) {
  const clipboard = useClipboard({ timeout: 2_500 });
  return (
    <Stack gap={4}>
      <Text size="xs" fw={600}>{label}</Text>
      <Group gap="xs" align="flex-start" wrap="nowrap" className={classes["line"] ?? ""}>
        <Code block className={classes["text"] ?? ""} tabIndex={0} aria-label={label} data-testid={testId}>{text}</Code>
        <Button
          variant="default" flex="none" leftSection={clipboard.copied ? <CheckIcon /> : <CopyIcon />} aria-label={clipboard.copied ? "Copied" : `Copy: ${label}`}
          onClick={() => clipboard.copy(text)}
        >
          {clipboard.copied ? "Copied" : "Copy"}
        </Button>
      </Group>
      <Text size="xs" role="status" c="red" style={{ display: clipboard.error ? undefined : "none" }}>{clipboard.error ? "The browser forbids copying; mark it and copy it by hand." : ""}</Text>
    </Stack>
  );
}

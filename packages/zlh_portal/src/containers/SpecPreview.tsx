/** Shows what the form will send, for people who want to do the same in a program. */
import { Code, Group, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { CreateContainer } from "../api/types";
import { CopyButton } from "../layout/CopyButton";
import { Disclosure } from "../layout/Disclosure";

export function SpecPreview({ wish }: { wish: CreateContainer }) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const json = JSON.stringify(wish, null, 2);
  return (
    <Disclosure label="Advanced: what is sent" isOpen={isOpen} onToggle={toggle}>
      <Group justify="space-between" mt="xs" mb={4}>
        <Text size="xs" c="dimmed" className="mono">POST /api/containers</Text>
        <CopyButton text={json} what="the JSON" />
      </Group>
      <Code block data-testid="spec-json">{json}</Code>
    </Disclosure>
  );
}

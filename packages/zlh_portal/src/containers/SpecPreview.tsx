/** Shows what the form will send, for people who want to do the same in a program. */
import { Button, Code, Collapse, Group, Text } from "@mantine/core";
import { useDisclosure, useId } from "@mantine/hooks";
import type { CreateContainer } from "../api/types";
import { CopyButton } from "../layout/CopyButton";

export function SpecPreview({ wish }: { wish: CreateContainer }) {
  const [isOpen, { toggle }] = useDisclosure(false);
  const id = useId();
  const json = JSON.stringify(wish, null, 2);
  return (
    <div>
      <Button variant="subtle" color="gray" size="compact-sm" ml={-8} aria-expanded={isOpen} aria-controls={id} onClick={toggle}>
        {isOpen ? "▾" : "▸"} Advanced: what is sent
      </Button>
      <Collapse expanded={isOpen} id={id}>
        <Group justify="space-between" mt="xs" mb={4}>
          <Text size="xs" c="dimmed" className="mono">POST /api/containers</Text>
          <CopyButton text={json} what="the JSON" />
        </Group>
        <Code block data-testid="spec-json">{json}</Code>
      </Collapse>
    </div>
  );
}

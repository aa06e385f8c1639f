/** One port that a program listens on, and the way to publish it. */
import { Badge, Button, Code, Group, Stack, Text, Tooltip } from "@mantine/core";
import type { Exposure, ListeningPort } from "../api/types";
import { AddressLink } from "../layout/AddressLink";
import { Name } from "../layout/Name";
import { describeKind, describeReach } from "./listening";
import { Said } from "../layout/Said";

interface Props {
  listening: ListeningPort;
  exposure: Exposure | null;
  mayChange: boolean;
  onPublish: () => void;
}

export function ListeningRow({ listening, exposure, mayChange, onPublish }: Props) {
  const kind = describeKind(listening.kind);
  const { badge, advice } = describeReach(listening, exposure !== null);
  return (
    <Group component="li" justify="space-between" align="flex-start" gap="xs" data-testid={`listening-${listening.port}`}>
      <Stack gap={2} miw={0} flex="1 1 220px">
        <Group gap="sm">
          <Text fw={600} className="numbers" miw={52}>{listening.port}</Text>
          <Text>{listening.process ? <Name text={listening.process} /> : "A program that cannot be seen"}</Text>
          <Tooltip label={kind.meaning}><Badge variant="light" color="gray" tabIndex={0}>{kind.label}</Badge></Tooltip>
          {badge && <Badge variant="light" color="gray">{badge}</Badge>}
          {exposure && <AddressLink address={exposure.url} />}
        </Group>
        {listening.command && <Code style={{ overflowWrap: "anywhere" }}><Said text={listening.command} /></Code>}
        {listening.directory && <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>in <Said text={listening.directory} /></Text>}
        {advice && <Text size="sm" c="dimmed">{advice}</Text>}
      </Stack>
      {mayChange && !exposure && (
        <Button size="compact-sm" variant="light" aria-label={`Publish port ${listening.port}`} onClick={onPublish}>Publish</Button>
      )}
    </Group>
  );
}

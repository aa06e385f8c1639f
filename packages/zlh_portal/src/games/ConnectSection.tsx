/** Where players find a server, and how that is known to work. */
import { Code, Group, Stack, Text } from "@mantine/core";
import type { ContainerStatus, GameDetail } from "../api/types";
import { CopyButton } from "../layout/CopyButton";
import { Name } from "../layout/Name";
import { Section } from "../layout/Section";
import { isolateOdd } from "../layout/words";
import { findEntrance } from "./words";

export function ConnectSection({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  const entrance = findEntrance(game.ports);
  const others = game.ports.filter(({ name, address }) => address !== null && name !== entrance?.port.name);
  return (
    <Section title="Join" about="What players type into their game.">
      {entrance ? (
        <Stack gap={6}>
          <Group gap={6} wrap="nowrap">
            <Code fz="md" px="sm" py={6} data-testid="game-address" style={{ overflowWrap: "anywhere" }}>{entrance.address}</Code>
            <CopyButton text={entrance.address} what="the address" />
          </Group>
          <Text size="sm" c="dimmed">{status.lifecycle === "running" ? (status.ready ? "It was asked there, and answers." : "It is not proved yet that it answers there.") : "It answers there once the server runs."}</Text>
          {others.map(({ name, protocol, address }) => (
            <Group key={name} gap={6} wrap="nowrap"><Text size="sm" c="dimmed"><Name text={name} /> ({protocol})</Text><Code style={{ overflowWrap: "anywhere" }}>{address}</Code><CopyButton text={address ?? ""} what={`the address of ${isolateOdd(name)}`} /></Group>
          ))}
        </Stack>
      ) : (
        <Text size="sm" c="dimmed" data-testid="no-game-address">Players cannot join from outside: this installation has no public ports for games, or none is reserved yet. Ask your operator.</Text>
      )}
    </Section>
  );
}

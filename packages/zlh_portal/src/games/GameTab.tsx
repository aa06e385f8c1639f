/** A game server: where players find it, who plays, its console in one line, its version, backups and settings. */
import { Alert, Code, Grid, Skeleton, Stack, Text } from "@mantine/core";
import type { ContainerStatus, GameDetail } from "../api/types";
import { Problem } from "../layout/Problem";
import { MayNot } from "../session/MayNot";
import { BackupsSection } from "./BackupsSection";
import { CommandLine } from "./CommandLine";
import { ConnectSection } from "./ConnectSection";
import { PlayersSection } from "./PlayersSection";
import { useGame } from "./queries";
import { SettingsSection } from "./SettingsSection";
import { TelemetrySection } from "./TelemetrySection";
import { VersionSection } from "./VersionSection";
import { findTrouble } from "./words";
import { Name } from "../layout/Name";
import { Said } from "../layout/Said";

export function GameTab({ status }: { status: ContainerStatus }) {
  const query = useGame(status);
  if (query.error && !query.data) return <Problem error={query.error} title="The game server cannot be shown" onRetry={() => void query.refetch()} />;
  if (!query.data) return <Skeleton h={420} role="status" aria-label="Loading the game server" />;
  const game = query.data;
  return (
    <Stack gap="md">
      <WhyDown status={status} game={game} />
      <Grid gap="md">
        <Grid.Col span={{ base: 12, md: 6 }}>
          <Stack gap="md">
            <ConnectSection status={status} game={game} />
            <PlayersSection status={status} />
            <CommandLine status={status} game={game} />
            <TelemetrySection status={status} />
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 6 }}>
          <Stack gap="md">
            <MayNot permission="containers:change" customerId={status.customerId} />
            <VersionSection status={status} game={game} />
            <BackupsSection status={status} game={game} />
            <SettingsSection status={status} game={game} />
          </Stack>
        </Grid.Col>
      </Grid>
    </Stack>
  );
}

function WhyDown({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  const trouble = findTrouble(status, game);
  if (!trouble) return null;
  return (
    <Alert color="orange" title={trouble.title} data-testid="game-trouble">
      <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={trouble.message} /> <Code><Name text={trouble.code} /></Code></Text>
    </Alert>
  );
}

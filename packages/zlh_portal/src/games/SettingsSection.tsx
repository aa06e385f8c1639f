/** The variables of a server; what is saved holds from its next start on. */
import { Box, Button, Group, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { ContainerStatus, GameDetail } from "../api/types";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { tellDone } from "../layout/tell";
import { useRights } from "../session/session";
import { usePatchGame } from "./queries";
import { RestartDue } from "./RestartDue";
import { VariableFields } from "./VariableFields";
import { changedValues, complainAboutAll, errorsOfVariables, fieldOf, fillValues } from "./variables";
import { isStartedAnew, startOf } from "./words";

export function SettingsSection({ status, game }: { status: ContainerStatus; game: GameDetail }) {
  const start = startOf(status);
  // The start that they were saved in; the next one takes them, whoever asks for it.
  const [saved, setSaved] = useState<{ in: string | null } | null>(null);
  const onSaved = () => {
    tellDone("The settings are saved.");
    setSaved({ in: start });
  };
  return (
    <Section title="Settings of the game" about="They hold from the next start of the server on.">
      {game.variables.length === 0 && <Text size="sm" c="dimmed">This game has none here. What its own files say can be changed in Files.</Text>}
      {saved && !isStartedAnew(saved.in, start) && <Box mb="md"><RestartDue status={status} why="The server goes on with the settings that it was started with." /></Box>}
      {/* Values that were changed elsewhere begin the form anew. */}
      {game.variables.length > 0 && <SettingsForm key={JSON.stringify(game.values)} status={status} game={game} onSaved={onSaved} />}
    </Section>
  );
}

function SettingsForm({ status, game, onSaved }: { status: ContainerStatus; game: GameDetail; onSaved: () => void }) {
  const { variables } = game;
  const kept = fillValues(variables, game.values);
  const patch = usePatchGame(status.vmid);
  const [values, setValues] = useState(kept);
  const mayChange = useRights(status).change;
  const changed = changedValues(variables, kept, values);
  const complaints = complainAboutAll(variables, values);
  const names = variables.map(({ name }) => name);
  const refused = patch.error ? splitByField(asApiError(patch.error), names.map(fieldOf)) : null;
  const isChanged = Object.keys(changed).length > 0;
  // The new values begin this form anew, maybe before all of the change has settled, so the promise tells: callbacks go with the form. The refusal stands above.
  const save = () => void patch.mutateAsync(changed).then(onSaved, () => undefined);
  const undo = () => {
    patch.reset();
    setValues(kept);
  };
  return (
    <Stack gap="md">
      {patch.error && refused?.rest && <Problem error={patch.error} title="The settings were not saved" />}
      <VariableFields
        variables={variables} values={values} isReadOnly={!mayChange} errors={{ ...errorsOfVariables(names, refused?.fields ?? {}), ...complaints }}
        onChange={(name, value) => {
          forgetOutcome(patch);
          setValues((before) => ({ ...before, [name]: value }));
        }}
      />
      {mayChange && (
        <Group justify="flex-end">
          {isChanged && <Button variant="default" disabled={patch.isPending} onClick={undo}>Undo</Button>}
          <Button loading={patch.isPending} disabled={!isChanged || Object.keys(complaints).length > 0} onClick={save}>Save the settings</Button>
        </Group>
      )}
    </Stack>
  );
}

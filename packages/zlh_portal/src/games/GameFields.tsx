/** What is chosen for a new game server: the game, its version, its variables, and the agreement that it asks for. */
import { Alert, Fieldset, Radio, Select, Stack, Text } from "@mantine/core";
import type { TemplateOffer } from "../api/types";
import { Agreement } from "./Agreement";
import type { GameChoice } from "./choice";
import { beginGame } from "./choice";
import classes from "./games.module.css";
import { describeMemory, describeVersion } from "./offers";
import { VariableFields } from "./VariableFields";
import { Name } from "../layout/Name";

interface Props {
  offers: readonly TemplateOffer[];
  value: GameChoice;
  memoryMib: number;
  /** By the names of fields on the wire: `template`, `version`, `acceptEula`. */
  errors: Readonly<Record<string, string>>;
  /** By the names of the variables. */
  variableErrors: Readonly<Record<string, string>>;
  onChange: (next: GameChoice) => void;
}

export function GameFields({ offers, value, memoryMib, errors, variableErrors, onChange }: Props) {
  const offer = offers.find(({ name }) => name === value.template);
  const memory = offer ? describeMemory(offer, memoryMib) : null;
  return (
    <Stack gap="lg">
      <Radio.Group label="Game" value={value.template} error={errors["template"]} onChange={(name) => onChange(beginGame(offers.find((each) => each.name === name)))}>
        <div className={classes["cards"]}>
          {offers.map((each) => (
            <Radio.Card key={each.name} value={each.name} className={classes["card"] ?? ""} data-testid={`template-${each.name}`}>
              <Text fw={600} size="sm"><Name text={each.title} /></Text>
              <Text size="xs" c="dimmed" mt={2} lineClamp={4}><bdi>{each.summary}</bdi></Text>
            </Radio.Card>
          ))}
        </div>
      </Radio.Group>
      {offer && (
        <Select
          label="Version" data-testid="game-version" allowDeselect={false} searchable={offer.versions.length > 8} error={errors["version"]}
          description="It can be changed later; a backup is made before." value={value.version} onChange={(version) => onChange({ ...value, version })}
          data={offer.versions.map((entry) => ({ value: entry.version, label: describeVersion(entry) }))}
        />
      )}
      {offer && offer.variables.length > 0 && (
        <Fieldset legend="Settings of the game">
          <VariableFields
            variables={offer.variables} values={value.variables} errors={variableErrors}
            onChange={(name, next) => onChange({ ...value, variables: { ...value.variables, [name]: next } })}
          />
        </Fieldset>
      )}
      {memory && <Alert color={memory.isTooLittle ? "orange" : "gray"} p="sm" data-testid="memory-hint">{memory.text}{memory.isTooLittle && " Choose more below."}</Alert>}
      {offer?.eula && <Agreement eula={offer.eula} agrees={value.agrees} error={errors["acceptEula"]} onChange={(agrees) => onChange({ ...value, agrees })} />}
    </Stack>
  );
}

/** One field for each variable of a template, by its kind. What templates say is shown as text alone. */
import { NumberInput, Select, Stack, Switch, TextInput } from "@mantine/core";
import type { GameValue, GameVariable } from "../api/types";
import { describeRange, type Values } from "./variables";
import { Name } from "../layout/Name";
import { Said } from "../layout/Said";

interface Props {
  variables: readonly GameVariable[];
  values: Values;
  /** By the names of the variables. */
  errors: Readonly<Record<string, string>>;
  isReadOnly?: boolean;
  onChange: (name: string, value: GameValue) => void;
}

export function VariableFields({ variables, values, errors, isReadOnly = false, onChange }: Props) {
  return (
    <Stack gap="md" data-testid="variables">
      {variables.map((variable) => (
        <Field key={variable.name} variable={variable} value={values[variable.name] ?? variable.default} error={errors[variable.name]} isReadOnly={isReadOnly} onChange={(value) => onChange(variable.name, value)} />
      ))}
    </Stack>
  );
}

interface FieldProps {
  variable: GameVariable;
  value: GameValue;
  error: string | undefined;
  isReadOnly: boolean;
  onChange: (value: GameValue) => void;
}

function Field({ variable, value, error, isReadOnly, onChange }: FieldProps) {
  const range = describeRange(variable);
  const description = variable.description === "" ? range : <><Said text={variable.description} /> {range}</>;
  const shared = { label: <Name text={variable.title} />, error, disabled: isReadOnly, "data-testid": `variable-${variable.name}`, ...(description ? { description } : {}) };
  switch (variable.kind) {
    case "text":
      return <TextInput {...shared} autoComplete="off" value={String(value)} onChange={(event) => onChange(event.currentTarget.value)} />;
    case "integer":
      return <NumberInput {...shared} allowDecimal={false} clampBehavior="none" min={variable.minimum} max={variable.maximum} value={typeof value === "boolean" ? "" : value} onChange={onChange} />;
    case "boolean":
      return <Switch {...shared} checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />;
    case "choice":
      return <Select {...shared} allowDeselect={false} searchable={variable.choices.length > 8} data={[...new Set(variable.choices)]} value={String(value)} onChange={(next) => next !== null && onChange(next)} />;
  }
}

/** Variables as a table of names and values. */
import { ActionIcon, Button, Group, Input, Stack, TextInput } from "@mantine/core";
import { CrossIcon, PlusIcon } from "../layout/icons";
import type { FormFields, Variable } from "./draft";
import { LinesInput } from "./LinesInput";

export function EnvironmentFields({ draft, problems, change }: FormFields) {
  const { variables } = draft;
  const set = (at: number, more: Partial<Variable>) =>
    change({ variables: variables.map((variable, i) => (i === at ? { ...variable, ...more } : variable)) });
  return (
    <Input.Wrapper label="Environment" labelElement="div" error={problems.variables}>
      <Stack gap={6} mt={4} mb={problems.variables ? 4 : 0}>
        {variables.map(({ name, value }, i) => (
          <Group key={i} gap={6} wrap="nowrap" align="flex-start">
            <TextInput
              aria-label={`Name of variable ${i + 1}`} placeholder="NAME" classNames={{ input: "mono" }} flex={2} autoComplete="off" spellCheck={false}
              value={name} onChange={(event) => set(i, { name: event.target.value })}
            />
            <LinesInput aria-label={`Value of variable ${i + 1}`} placeholder="value" flex={3} value={value} onChange={(event) => set(i, { value: event.target.value })} />
            <ActionIcon variant="subtle" color="gray" aria-label={`Remove variable ${i + 1}`} onClick={() => change({ variables: variables.filter((_, at) => at !== i) })}><CrossIcon /></ActionIcon>
          </Group>
        ))}
        <div>
          <Button variant="subtle" size="compact-sm" ml={-8} leftSection={<PlusIcon />} onClick={() => change({ variables: [...variables, { name: "", value: "" }] })}>Add variable</Button>
        </div>
      </Stack>
    </Input.Wrapper>
  );
}

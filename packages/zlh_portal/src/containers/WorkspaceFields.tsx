/** What a new dev container begins with: a repository, a script that runs once, and what its user may do. */
import { Checkbox, Group, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Disclosure } from "../layout/Disclosure";
import { summarizeChoice, type WorkspaceChoice } from "./workspace";

interface Props {
  value: WorkspaceChoice;
  /** By the field's name on the wire, such as `repository.url`. */
  errors: Readonly<Record<string, string>>;
  onChange: (next: WorkspaceChoice) => void;
}

export function WorkspaceFields({ value, errors, onChange }: Props) {
  const [isAsked, { toggle }] = useDisclosure(false);
  const isOpen = isAsked || Object.keys(errors).length > 0;
  const summary = summarizeChoice(value);
  return (
    <Disclosure label={isOpen ? "Workspace" : `Workspace: ${summary || "repository, start script, sudo"}`} isOpen={isOpen} onToggle={toggle} testId="workspace-toggle">
      <Stack gap="md" mt="xs">
        <Group align="flex-start" gap="md" grow preventGrowOverflow={false}>
          <TextInput
            label="Git repository" description="Cloned once into the empty workspace." placeholder="https://host/me/shop.git" autoComplete="off" spellCheck={false} miw={260} style={{ flex: 3 }}
            value={value.url} error={errors["repository.url"] ?? errors["repository"]} onChange={({ currentTarget: { value: url } }) => onChange({ ...value, url })}
          />
          <TextInput
            label="Branch or tag" description="Its own default if empty." autoComplete="off" spellCheck={false} disabled={!value.url.trim()} miw={160} style={{ flex: 1 }}
            value={value.branch} error={errors["repository.branch"]} onChange={({ currentTarget: { value: branch } }) => onChange({ ...value, branch })}
          />
        </Group>
        <Textarea
          label="Start script" description="Runs once as dev in the workspace, when runtimes and repository are there. Put no secrets in it." placeholder="npm ci" autosize minRows={3} maxRows={14} spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }} value={value.startScript} error={errors["startScript"]} onChange={({ currentTarget: { value: startScript } }) => onChange({ ...value, startScript })}
        />
        <Checkbox
          label="Allow sudo" description="dev becomes root of this container without a password, and may change or break anything in it, our agent too."
          checked={value.sudo} error={errors["sudo"]} onChange={({ currentTarget: { checked: sudo } }) => onChange({ ...value, sudo })}
        />
        <Text size="xs" c="dimmed">What fails here keeps nothing from the container: terminals open all the same.</Text>
      </Stack>
    </Disclosure>
  );
}

import { Button, Group, Paper, Stack, TextInput, Title } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { Problem } from "../layout/Problem";
import { parsePort } from "./port";
import { usePublish } from "./queries";

export function PublishForm({ vmid, published }: { vmid: number; published: readonly number[] }) {
  const publish = usePublish(vmid);
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const refused = publish.error ? splitByField(asApiError(publish.error), ["port"]) : null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const parsed = parsePort(text, published);
    if ("problem" in parsed) setProblem(parsed.problem);
    else publish.mutate(parsed.port, { onSuccess: () => setText("") });
  };
  return (
    <Paper component="form" onSubmit={submit} noValidate aria-label="Publish a port">
      <Stack gap="sm">
        <Title order={2}>Publish a port</Title>
        {publish.error && refused?.rest && <Problem error={publish.error} title="The port was not published" />}
        <Group align="flex-start" gap="sm">
          <TextInput
            aria-label="Port" placeholder="3000" inputMode="numeric" autoComplete="off" w={280} maw="60%" value={text} error={problem ?? refused?.fields["port"]}
            onChange={(event) => {
              publish.reset();
              setProblem(null);
              setText(event.currentTarget.value);
            }}
          />
          <Button type="submit" loading={publish.isPending}>Publish</Button>
        </Group>
      </Stack>
    </Paper>
  );
}

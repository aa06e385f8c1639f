/** Publishes a port, or changes who may open one that is published. */
import { Button, Group, Paper, Select, Stack, Text, TextInput, Title } from "@mantine/core";
import { type SyntheticEvent, useEffect, useRef, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Exposure, ListeningPort } from "../api/types";
import { serverNow } from "../layout/clock";
import { LiveRegion } from "../layout/LiveRegion";
import { Problem } from "../layout/Problem";
import { useMe } from "../session/session";
import { describeVisibility, EXPIRIES, KEEP, KINDS, type Kind, secondsOf, tellTaken, VISIBILITIES, type Visibility } from "./access";
import classes from "./exposures.module.css";
import { schemeOf } from "./listening";
import { parsePort } from "./port";
import { usePublish } from "./queries";

interface Props {
  vmid: number;
  published: readonly number[];
  /** What is changed; null where another port is published. */
  editing: Exposure | null;
  /** What listens on the port that shall be published; null where one is typed. */
  chosen: ListeningPort | null;
  onDone: () => void;
}

export function PublishForm({ vmid, published, editing, chosen, onDone }: Props) {
  const { data: me } = useMe();
  const publish = usePublish(vmid);
  const [text, setText] = useState(String(editing?.port ?? chosen?.port ?? ""));
  const [visibility, setVisibility] = useState<Visibility>(editing?.visibility ?? "private");
  const [kind, setKind] = useState<Kind>(editing?.kind ?? schemeOf(chosen?.kind ?? "unknown"));
  const [expiry, setExpiry] = useState(editing?.expiresAt ? KEEP : "never");
  const [problem, setProblem] = useState<string | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const isAsked = editing !== null || chosen !== null;
  // Whoever has asked in a row below sees what is left to be done: the form, ready, where the keyboard is too.
  useEffect(() => {
    if (isAsked) button.current?.focus();
  }, [isAsked]);
  const refused = publish.error ? splitByField(asApiError(publish.error), ["port", "visibility", "kind", "expiresInS"]) : null;
  const change = (act: () => void) => {
    forgetOutcome(publish);
    setProblem(null);
    act();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (publish.isPending) return;
    const parsed = parsePort(text, editing ? [] : published);
    if ("problem" in parsed) {
      setProblem(parsed.problem);
      return;
    }
    const expiresInS = secondsOf(expiry, editing?.expiresAt ?? null, serverNow());
    publish.mutate({ port: parsed.port, visibility, kind, expiresInS }, {
      onSuccess: () => {
        // Another one may have been typed since.
        setText((now) => (now === text ? "" : now));
        onDone();
      },
    });
  };
  const taken = tellTaken(editing, visibility, me?.user.id);
  const title = editing ? `Change port ${editing.port}` : chosen ? `Publish port ${chosen.port}` : "Publish a port";
  const ends = EXPIRIES.map(({ value, label }) => ({ value, label }));
  return (
    <Paper component="form" onSubmit={submit} noValidate aria-label={title}>
      <Stack gap="sm">
        <Title order={2}>{title}</Title>
        {publish.error && refused?.rest && <Problem error={publish.error} title={editing ? "The port was not changed" : "The port was not published"} />}
        <div className={classes["fields"]}>
          <TextInput
            label="Port" placeholder="3000" inputMode="numeric" autoComplete="off" readOnly={editing !== null} value={text} error={problem ?? refused?.fields["port"]}
            onChange={(event) => {
              const { value } = event.currentTarget;
              change(() => setText(value));
            }}
          />
          <Select
            label="Opens for" allowDeselect={false} value={visibility} error={refused?.fields["visibility"]} data={VISIBILITIES.map(({ value, label }) => ({ value, label }))}
            onChange={(value) => change(() => setVisibility(value ?? "private"))}
          />
          <Select
            label="Until" allowDeselect={false} value={expiry} error={refused?.fields["expiresInS"]} data={editing?.expiresAt ? [{ value: KEEP, label: "As it is" }, ...ends] : ends}
            onChange={(value) => change(() => setExpiry(value ?? "never"))}
          />
          <Select
            label="Speaks" allowDeselect={false} value={kind} error={refused?.fields["kind"]} data={[...KINDS]}
            onChange={(value) => change(() => setKind(value ?? "http"))}
          />
        </div>
        <Text size="sm" c="dimmed">
          {describeVisibility(visibility)}{editing && " Whoever is connected now has to connect again."}
        </Text>
        <LiveRegion>{taken && <Text size="sm" c="orange" data-testid="taken">{taken}</Text>}</LiveRegion>
        <Group gap="sm">
          <Button ref={button} type="submit" loading={publish.isPending}>{editing ? "Save" : "Publish"}</Button>
          {isAsked && <Button variant="default" onClick={onDone}>Cancel</Button>}
        </Group>
      </Stack>
    </Paper>
  );
}

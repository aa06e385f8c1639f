/** The form for a new container. What the catalog does not offer cannot be chosen, and says why. */
import { Alert, Button, Checkbox, Group, Input, Paper, SegmentedControl, Select, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { CreateContainer, Limits, RuntimeOffer, TemplateOffer } from "../api/types";
import { preferredVersion } from "../catalog/choice";
import { useValidation } from "../catalog/queries";
import { type RuntimeChoice, RuntimePicker } from "../catalog/RuntimePicker";
import { beginGame, complainAboutGame, wishOfGame } from "../games/choice";
import { GameFields } from "../games/GameFields";
import { labelCustomers } from "../customers/labels";
import { useUsage } from "../customers/queries";
import { errorsOfVariables, fieldOf } from "../games/variables";
import { Problem } from "../layout/Problem";
import { customersWith } from "../session/permissions";
import { useMe, useWhyNot } from "../session/session";
import { CODE_SERVER, describeEditor } from "../addons/words";
import { KeyRing } from "./idempotency";
import { complainAboutName } from "./name";
import { useContainers, useCreateContainer } from "./queries";
import { ResourceFields } from "./ResourceFields";
import { findShortage } from "./presets";
import { SizePresets } from "./SizePresets";
import { FIELDS, wishBetween } from "./sizes";
import { SpecPreview } from "./SpecPreview";
import { tellNext } from "./whatNext";
import { NO_CHOICE, wishOf, WORKSPACE_FIELDS } from "./workspace";
import { WorkspaceFields } from "./WorkspaceFields";

const FORM_FIELDS = ["name", "customerId", "runtime", "version", "enableCodeServer", ...FIELDS.map((field) => `resources.${field}`)];
const GAME_FIELDS = ["template", "acceptEula"];

interface Props {
  runtimes: readonly RuntimeOffer[];
  addons: readonly string[];
  templates: readonly TemplateOffer[];
  limits: Limits;
}

export function CreateForm({ runtimes, addons, templates, limits }: Props) {
  const navigate = useNavigate();
  const [parameters] = useSearchParams();
  const create = useCreateContainer();
  const { data: others } = useContainers();
  const [keys] = useState(() => new KeyRing());
  const [kind, setKind] = useState<CreateContainer["kind"]>(() => (templates.some(({ name: each }) => each === parameters.get("template")) ? "game" : "dev"));
  const [name, setName] = useState("");
  const [choice, setChoice] = useState<RuntimeChoice>(() => firstChoice(runtimes, parameters.get("runtime")));
  const [size, setSize] = useState(limits.default);
  // Most people come for a place to write in, and it can be taken out again.
  const [wantsEditor, setWantsEditor] = useState(true);
  const [workspace, setWorkspace] = useState(NO_CHOICE);
  const [game, setGame] = useState(() => beginGame(templates.find(({ name: each }) => each === parameters.get("template")) ?? templates[0]));

  const { data: me } = useMe();
  const customers = me ? customersWith(me, "containers:change") : [];
  const [chosen, setChosen] = useState(() => parameters.get("customer"));
  const customerId = customers.find(({ id }) => id === chosen)?.id ?? customers[0]?.id ?? null;
  const isDev = kind === "dev";
  const template = templates.find(({ name: each }) => each === game.template);
  const variables = template?.variables.map(({ name: each }) => each) ?? [];
  const hasEditor = addons.includes(CODE_SERVER);
  const runsPlatform = useWhyNot("platform:manage") === null;
  const wish: CreateContainer = {
    customerId,
    kind,
    name: name.trim() || null,
    runtime: isDev ? choice.runtime : null,
    enableCodeServer: isDev && hasEditor && wantsEditor,
    ...(isDev ? { version: choice.version, template: null, variables: {}, acceptEula: false } : wishOfGame(game, template)),
    resources: wishBetween(limits.default, size),
    ...wishOf(isDev ? workspace : NO_CHOICE),
  };
  const validation = useValidation(wish.runtime, wish.version);
  const complaint = complainAboutName(name, others?.flatMap((item) => (item.customerId === customerId ? [item.name] : [])) ?? []);
  const unfitting = isDev ? {} : complainAboutGame(game, template);
  const known = [...FORM_FIELDS, ...(isDev ? WORKSPACE_FIELDS : [...GAME_FIELDS, ...variables.map(fieldOf)])];
  const refused = create.error ? splitByField(asApiError(create.error), known) : null;
  const unfit = Object.fromEntries(validation.data?.problems.map((problem) => [problem.field, problem.message]) ?? []);
  const isUnfit = Object.keys(unfitting).length > 0;
  const mustAgree = !isDev && template?.eula != null && !game.agrees;
  const { data: uses } = useUsage(customerId ?? "", customerId !== null);
  const shortage = findShortage(uses ?? [], size);
  // A refusal is about what was sent; it goes as soon as that is changed.
  const change = (act: () => void) => {
    forgetOutcome(create);
    act();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (complaint || isUnfit || create.isPending) return;
    create.mutate({ wish, key: keys.keyFor(wish) }, { onSuccess: ({ vmid }) => void navigate(`/containers/${vmid}`) });
  };

  return (
    <form onSubmit={submit} noValidate aria-label="Create container">
      <Paper p="lg">
        <Stack gap="lg">
          {create.error && refused?.rest && <Problem error={create.error} title="The container was not created" />}
          <TextInput
            label="Name" description="Leave it empty and the platform gives one." placeholder={isDev ? "my-api" : "my-server"} autoFocus autoComplete="off" data-testid="name"
            value={name} error={complaint ?? refused?.fields["name"]} onChange={(event) => change(() => setName(event.target.value))}
          />
          {customers.length > 1 && (
            <Select
              label="For" description="Whose quota it counts in, and whose people work with it." allowDeselect={false} value={customerId} error={refused?.fields["customerId"]} onChange={(next) => change(() => setChosen(next))}
              data={labelCustomers(customers)}
            />
          )}
          <Input.Wrapper label="Kind" labelElement="div">
            <SegmentedControl
              fullWidth mt={4} value={kind} aria-label="Kind" onChange={(next) => change(() => setKind(next))}
              data={[{ value: "dev", label: "Dev environment" }, { value: "game", label: "Game server", disabled: templates.length === 0 }]}
            />
            {templates.length === 0 && <Text size="xs" c="dimmed" mt={6}>The catalog of this installation has no game templates, so game servers cannot be created.</Text>}
          </Input.Wrapper>
          {isDev && runtimes.length === 0 && <Alert color="orange" title="The catalog is empty">A dev environment needs a runtime, and none is offered. Ask your operator.</Alert>}
          {isDev && runtimes.length > 0 && (
            <RuntimePicker
              offers={runtimes} value={choice} onChange={(next) => change(() => setChoice(next))}
              errors={{ runtime: refused?.fields["runtime"] ?? unfit["runtime"], version: refused?.fields["version"] ?? unfit["version"] }}
            />
          )}
          {isDev && (
            <Checkbox
              label="Editor in the browser (code-server)" data-testid="code-server"
              description={describeEditor(hasEditor, runsPlatform)}
              checked={hasEditor && wantsEditor} disabled={!hasEditor} error={refused?.fields["enableCodeServer"]}
              onChange={(event) => {
                const { checked } = event.currentTarget;
                change(() => setWantsEditor(checked));
              }}
            />
          )}
          {!isDev && (
            <GameFields
              offers={templates} value={game} memoryMib={size.memoryMib} errors={refused?.fields ?? {}} onChange={(next) => change(() => setGame(next))}
              variableErrors={{ ...errorsOfVariables(variables, refused?.fields ?? {}), ...unfitting }}
            />
          )}
          <Input.Wrapper label="Size" labelElement="div" description="It can be changed later; the disk can only grow.">
            <SizePresets value={size} limits={limits} onChange={(next) => change(() => setSize(next))} />
            <div style={{ marginTop: 14 }}><ResourceFields value={size} limits={limits} errors={{ ...shortage.fields, ...refused?.fields }} onChange={(next) => change(() => setSize(next))} /></div>
          </Input.Wrapper>
          {isDev && <WorkspaceFields value={workspace} errors={pick(refused?.fields ?? {}, WORKSPACE_FIELDS)} onChange={(next) => change(() => setWorkspace(next))} />}
          <SpecPreview wish={wish} />
          {shortage.all && <Alert color="orange" title="No room for another container" data-testid="no-room">{shortage.all}</Alert>}
          <Text size="sm" c="dimmed" data-testid="what-next">{tellNext({ isDev, hasEditor: wish.enableCodeServer, title: isDev ? (runtimes.find(({ name: each }) => each === choice.runtime)?.title ?? null) : (template?.title ?? null) })}</Text>
          <Group justify="flex-end">
            {mustAgree && <Text size="xs" c="dimmed">First agree to what the game asks for.</Text>}
            <Button variant="default" component={Link} to="/">Cancel</Button>
            <Button type="submit" loading={create.isPending} disabled={shortage.all !== null || complaint !== null || isUnfit || mustAgree || validation.data?.ok === false}>Create container</Button>
          </Group>
        </Stack>
      </Paper>
    </form>
  );
}

function pick(fields: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
}

/** Begin with the runtime that the address names, else with Node.js, which most people come for. */
function firstChoice(offers: readonly RuntimeOffer[], asked: string | null): RuntimeChoice {
  const find = (name: string | null) => offers.find((offer) => offer.name === name);
  const offer = find(asked) ?? find("node") ?? offers[0];
  return { runtime: offer?.name ?? null, version: preferredVersion(offer) };
}

/** Everything about how a process is kept; each field begins with what suits most programs. */
import { Fieldset, Select, SimpleGrid, Stack, TextInput, type TextInputProps } from "@mantine/core";
import type { Draft, Field, FormFields } from "./draft";

export function PolicyFields(fields: FormFields) {
  return (
    <Stack mt="xs">
      <RestartFields {...fields} />
      <StopFields {...fields} />
      <ReadyFields {...fields} />
      <Fieldset legend="Ports">
        <TextField {...fields} field="ports" label="Listens on" description="It is not started while another program holds one of them." placeholder="3000, 3001" />
      </Fieldset>
    </Stack>
  );
}

function RestartFields(fields: FormFields) {
  return (
    <Fieldset legend="When it ends by itself">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Choice
          {...fields} field="when" label="Start it again"
          data={[{ value: "failure", label: "After a failure" }, { value: "always", label: "Always" }, { value: "never", label: "Never" }]}
        />
        <TextField {...fields} field="successCodes" label="Exit codes that count as success" placeholder="0" />
        <TextField {...fields} field="delays" label="Pauses before each restart, in seconds" description="After the last one it is given up." placeholder="30, 60, 120" />
        <TextField {...fields} field="stable" label="Counts as stable after, in seconds" description="Then it begins with the first pause again." />
      </SimpleGrid>
    </Fieldset>
  );
}

function StopFields(fields: FormFields) {
  return (
    <Fieldset legend="How it is stopped">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextField {...fields} field="stopCommand" label="Command typed into its console" description="Leave it empty if it has none." placeholder="stop" />
        <TextField {...fields} field="commandGrace" label="Time for the command, in seconds" description="Then the signal is sent." />
        <Choice {...fields} field="signal" label="Signal" data={["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"].map((signal) => ({ value: signal, label: signal }))} />
        <TextField {...fields} field="stopGrace" label="Time for the signal, in seconds" description="Then it is killed." />
      </SimpleGrid>
    </Fieldset>
  );
}

function ReadyFields(fields: FormFields) {
  const { probe, hang } = fields.draft;
  return (
    <Fieldset legend="When it is ready">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Choice
          {...fields} field="probe" label="Probe"
          data={[
            { value: "none", label: "None: ready once it runs" }, { value: "tcp", label: "A port takes connections" }, { value: "http", label: "A web address answers" },
            { value: "log", label: "A line is printed" }, { value: "minecraft", label: "A Minecraft status ping" },
          ]}
        />
        {probe === "log" && <TextField {...fields} field="probePattern" label="Line" description="* stands for anything." placeholder="*listening on*" />}
        {probe !== "none" && probe !== "log" && <TextField {...fields} field="probePort" label="Port" inputMode="numeric" placeholder="3000" />}
        {probe === "http" && <TextField {...fields} field="probePath" label="Path" placeholder="/" />}
        {probe !== "none" && (
          <>
            <TextField {...fields} field="readyGrace" label="Time to become ready, in seconds" />
            <Choice {...fields} field="onSlow" label="When it takes longer" data={[{ value: "report", label: "Say so" }, { value: "restart", label: "Restart it" }]} />
          </>
        )}
        {((probe !== "none" && probe !== "log") || hang !== "off") && (
          <>
            <Choice {...fields} field="hang" label="When it no longer answers" data={[{ value: "off", label: "Do nothing" }, { value: "report", label: "Say so" }, { value: "restart", label: "Restart it" }]} />
            {hang !== "off" && <TextField {...fields} field="hangAfter" label="After, in seconds" />}
          </>
        )}
      </SimpleGrid>
    </Fieldset>
  );
}

type TextOf<F extends Field> = Draft[F] extends string ? F : never;
type TextFields = { [F in Field]: TextOf<F> }[Field];

function TextField({ draft, problems, change, field, ...more }: FormFields & { field: TextFields } & Omit<TextInputProps, "value" | "error" | "onChange">) {
  return (
    <TextInput autoComplete="off" spellCheck={false} {...more} value={draft[field]} error={problems[field]} onChange={(event) => change({ [field]: event.target.value })} />
  );
}

interface ChoiceProps extends FormFields {
  field: TextFields;
  label: string;
  data: { value: string; label: string }[];
}

function Choice({ draft, problems, change, field, label, data }: ChoiceProps) {
  return (
    <Select allowDeselect={false} label={label} data={data} value={draft[field]} error={problems[field]} onChange={(value) => value !== null && change({ [field]: value })} />
  );
}

/** Everything about how a process is kept; each field begins with what suits most programs. */
import { Fieldset, Select, SimpleGrid, Stack, TextInput, type TextInputProps } from "@mantine/core";
import { DEFAULT_POLICY, type Draft, type Field, type FormFields, NONE, writeNumbers } from "./draft";
import { LinesInput } from "./LinesInput";

export function PolicyFields(fields: FormFields) {
  return (
    <Stack mt="xs">
      <RestartFields {...fields} />
      <StopFields {...fields} />
      <ReadyFields {...fields} />
      <Fieldset legend="Ports">
        <TextField {...fields} field="ports" label="Listens on" description="It is not started while another program holds one of these ports." placeholder="3000, 3001" />
      </Fieldset>
    </Stack>
  );
}

function RestartFields(fields: FormFields) {
  return (
    <Fieldset legend="When it ends by itself">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Choice
          {...fields} field="when" label="Start it again" description="A stop that you ask for is no failure."
          data={[{ value: "failure", label: "After a failure" }, { value: "always", label: "Always" }, { value: "never", label: "Never" }]}
        />
        <TextField {...fields} field="successCodes" label="Success codes" description={`Exit codes that are no failure; “${NONE}” for none.`} placeholder={writeNumbers(DEFAULT_POLICY.restart.successCodes)} />
        <TextField {...fields} field="delays" label="Pauses" description={`Seconds before each restart in a row; “${NONE}” to give up at once.`} placeholder={writeNumbers(DEFAULT_POLICY.restart.delaysS)} />
        <TextField {...fields} field="stable" label="Stable after" description="Seconds until the pauses begin anew." />
      </SimpleGrid>
    </Fieldset>
  );
}

function StopFields(fields: FormFields) {
  const { draft, problems, change } = fields;
  return (
    <Fieldset legend="How it is stopped">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <LinesInput
          label="Command" aria-label="Stop command" description="Typed into its console; empty for none." placeholder="stop"
          value={draft.stopCommand} error={problems.stopCommand} onChange={(event) => change({ stopCommand: event.target.value })}
        />
        <TextField {...fields} field="commandGrace" label="Time for the command" description="Seconds until the signal is sent." />
        <Choice {...fields} field="signal" label="Signal" description="Sent after the command, or at once." data={["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"].map((signal) => ({ value: signal, label: signal }))} />
        <TextField {...fields} field="stopGrace" label="Time for the signal" description="Seconds until it is killed." />
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
          {...fields} field="probe" label="Probe" description="How one can tell."
          data={[
            { value: "none", label: "None: ready once it runs" }, { value: "tcp", label: "A port takes connections" }, { value: "http", label: "A web address answers" },
            { value: "log", label: "A line is printed" }, { value: "line", label: "A whole line is printed" }, { value: "minecraft", label: "A Minecraft status ping" },
          ]}
        />
        {probe === "log" && <TextField {...fields} field="probePattern" label="Line" description="The star stands for anything." placeholder="*listening on*" />}
        {probe === "line" && <TextField {...fields} field="probePattern" label="Line" description="With gaps such as {time}, {name} and {text}." placeholder="[{time}] Done ({text})!{rest}" />}
        {probe !== "none" && probe !== "log" && (
          <TextField {...fields} field="probePort" label="Port" description={probe === "line" ? "Of a status ping that must be answered as well; may be empty." : "On which it listens."} inputMode="numeric" placeholder="3000" />
        )}
        {probe === "http" && <TextField {...fields} field="probePath" label="Path" description="It must answer below 400." placeholder="/" />}
        {probe !== "none" && (
          <>
            <TextField {...fields} field="readyGrace" label="Time to become ready" description="Seconds from its start." />
            <Choice {...fields} field="onSlow" label="When it takes longer" description="After that time." data={[{ value: "report", label: "Say so" }, { value: "restart", label: "Restart it" }]} />
          </>
        )}
        {((probe !== "none" && probe !== "log") || hang !== "off") && (
          <>
            <Choice {...fields} field="hang" label="When it no longer answers" description="Though it was ready before." data={[{ value: "off", label: "Do nothing" }, { value: "report", label: "Say so" }, { value: "restart", label: "Restart it" }]} />
            {hang !== "off" && <TextField {...fields} field="hangAfter" label="After" description="Seconds without an answer." />}
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
  description: string;
  data: { value: string; label: string }[];
}

function Choice({ draft, problems, change, field, label, description, data }: ChoiceProps) {
  return (
    <Select allowDeselect={false} label={label} description={description} data={data} value={draft[field]} error={problems[field]} onChange={(value) => value !== null && change({ [field]: value })} />
  );
}

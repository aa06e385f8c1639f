/** The name of a customer; for operators, its suspension and its end. */
import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { useNavigate } from "react-router";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Customer } from "../api/types";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { tellDone, tellProblem } from "../layout/tell";
import { isolate } from "../layout/words";
import { MayNot } from "../session/MayNot";
import { useWhyNot } from "../session/session";
import { useDeleteCustomer, useRenameCustomer, useResumeCustomer, useSuspendCustomer } from "./queries";
import { SuspendModal } from "./SuspendModal";
import { WhileMay } from "../session/WhileMay";

export function SettingsTab({ customer }: { customer: Customer }) {
  const mayManage = useWhyNot("customer:manage", customer.id) === null;
  const mayGovern = useWhyNot("platform:manage") === null;
  return (
    <Stack gap="md" maw={720}>
      <MayNot permission="customer:manage" customerId={customer.id} />
      <WhileMay may={mayManage}><Section title="Name"><RenameForm key={customer.name} customer={customer} /></Section></WhileMay>
      {mayGovern && <Section title="Suspension"><Suspension customer={customer} /></Section>}
      {mayGovern && <Section title="Delete"><DeleteForm customer={customer} /></Section>}
    </Stack>
  );
}

function RenameForm({ customer }: { customer: Customer }) {
  const rename = useRenameCustomer(customer.id);
  const [name, setName] = useState(customer.name);
  const wanted = name.trim();
  const refused = rename.error ? splitByField(asApiError(rename.error), ["name"]) : null;
  const isSendable = wanted !== "" && wanted !== customer.name;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!isSendable || rename.isPending) return;
    // The new name begins this form anew before all of the change has settled, so the promise tells: callbacks go with the form. The refusal stands at the field.
    rename.mutateAsync(wanted).then(() => tellDone(`It is called ${isolate(wanted)} now.`), () => undefined);
  };
  return (
    <form onSubmit={submit} noValidate aria-label="Rename the customer">
      <Group align="flex-start" gap="sm">
        <TextInput
          aria-label="Name" flex="1 1 220px" autoComplete="off" maxLength={64} value={name} error={refused ? (refused.fields["name"] ?? refused.rest) : undefined}
          onChange={(event) => {
            forgetOutcome(rename);
            setName(event.currentTarget.value);
          }}
        />
        <Button type="submit" variant="default" disabled={!isSendable} loading={rename.isPending}>Rename</Button>
      </Group>
    </form>
  );
}

function Suspension({ customer }: { customer: Customer }) {
  const suspend = useSuspendCustomer(customer.id);
  const resume = useResumeCustomer(customer.id);
  const [isAsking, setAsking] = useState(false);
  const name = isolate(customer.name);
  return (
    <Group justify="space-between" gap="sm">
      <Text size="sm" flex="1 1 240px">
        {customer.suspended ? "It is suspended: its containers are off, and its people can look and nothing more." : "Suspended, its containers go off at once, everything that its people have open is closed, and they can look and nothing more. Files are kept."}
      </Text>
      {customer.suspended ? (
        <Button loading={resume.isPending} onClick={() => resume.mutate(undefined, { onSuccess: () => tellDone(`${name} is resumed.`), onError: tellProblem(`${name} is still suspended`) })}>Resume</Button>
      ) : (
        <Button color="orange" variant="light" onClick={() => setAsking(true)}>Suspend…</Button>
      )}
      {isAsking && (
        <SuspendModal
          title={`Suspend ${name}?`} meaning="Its containers are switched off, and open consoles and streams are closed at once." to="its people" error={suspend.error} isPending={suspend.isPending}
          onConfirm={(reason) => suspend.mutate(reason, { onSuccess: () => { setAsking(false); tellDone(`${name} is suspended.`); } })}
          onClose={() => { suspend.reset(); setAsking(false); }}
        />
      )}
    </Group>
  );
}

function DeleteForm({ customer }: { customer: Customer }) {
  const remove = useDeleteCustomer(customer.id);
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const isConfirmed = typed.trim() === customer.name.trim();
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!isConfirmed) return;
    remove.mutate(undefined, {
      onSuccess: () => {
        tellDone(`${isolate(customer.name)} is deleted.`);
        void navigate("/platform/customers");
      },
    });
  };
  return (
    <form onSubmit={submit} aria-label="Delete the customer">
      <Stack gap="sm">
        <Text size="sm">Memberships, invitations and tokens of this customer go for good; the accounts of its people and the audit log stay. Its containers have to be deleted first.</Text>
        {remove.error && <Problem error={remove.error} title="It was not deleted" />}
        <TextInput label={<>Type <code><Name text={customer.name} /></code> to confirm</>} aria-label="Type the name to confirm" autoComplete="off" spellCheck={false} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
        <Group justify="flex-end"><Button type="submit" color="red" disabled={!isConfirmed} loading={remove.isPending}>Delete for good</Button></Group>
      </Stack>
    </form>
  );
}

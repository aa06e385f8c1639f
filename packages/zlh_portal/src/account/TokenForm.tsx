/** Makes a token: what it is called, what it may, for which customer and for how long. */
import { Alert, Button, Checkbox, Group, Input, SegmentedControl, Select, SimpleGrid, Stack, Text, TextInput } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Me, Permission, TokenMade } from "../api/types";
import { labelCustomers } from "../customers/labels";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import classes from "./account.module.css";
import { useMakeToken } from "./queries";
import { type Choice, choiceOf, mayGive, offerScopes, PRESETS, scopesOf } from "./scopes";
import { EXPIRIES } from "./tokens";

const ALL = "";
const USUAL_EXPIRY = "90";

interface Props {
  me: Me;
  onMade: (made: TokenMade) => void;
  onClose: () => void;
}

export function TokenForm({ me, onMade, onClose }: Props) {
  const make = useMakeToken();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly Permission[] | null>(scopesOf("read-only"));
  const [customer, setCustomer] = useState(ALL);
  const [expiry, setExpiry] = useState(USUAL_EXPIRY);
  const [complaints, setComplaints] = useState<{ name?: string | null; scopes?: string | null }>({});
  const refused = make.error ? splitByField(asApiError(make.error), ["name", "scopes", "customerId", "expiresInS"]) : null;
  const change = (act: () => void) => {
    forgetOutcome(make);
    setComplaints({});
    act();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const found = { name: name.trim() === "" ? "Give it a name that tells what it is for." : null, scopes: scopes?.length === 0 ? "Choose at least one thing that it may do." : null };
    setComplaints(found);
    if (found.name !== null || found.scopes !== null || make.isPending) return;
    const seconds = EXPIRIES.find(({ value }) => value === expiry)?.seconds ?? null;
    make.mutate({ name: name.trim(), scopes: scopes === null ? null : [...scopes], customerId: customer === ALL ? null : customer, expiresInS: seconds }, { onSuccess: onMade });
  };
  return (
    <Section title="Make a token">
      <form onSubmit={submit} noValidate aria-label="Make a token">
        <Stack gap="md">
          {make.error && refused?.rest && <Problem error={make.error} title="The token was not made" />}
          <TextInput label="Name" description="What it is for, such as the pipeline that uses it." autoFocus autoComplete="off" maxLength={64} value={name} error={complaints.name ?? refused?.fields["name"]} onChange={(event) => { const { value } = event.currentTarget; change(() => setName(value)); }} />
          <ScopePicker me={me} customer={customer === ALL ? null : customer} value={scopes} error={complaints.scopes ?? refused?.fields["scopes"] ?? null} onChange={(next) => change(() => setScopes(next))} />
          <Group align="flex-start" gap="sm" grow preventGrowOverflow={false}>
            <Select
              label="For" description="Which of your customers it reaches." allowDeselect={false} value={customer} error={refused?.fields["customerId"]} onChange={(value) => change(() => setCustomer(value ?? ALL))}
              data={[{ value: ALL, label: "All of your customers" }, ...labelCustomers(me.customers)]}
            />
            <Select
              label="Expires after" description="It opens nothing from then on." allowDeselect={false} value={expiry} error={refused?.fields["expiresInS"]} onChange={(value) => change(() => setExpiry(value ?? USUAL_EXPIRY))}
              data={EXPIRIES.map(({ value, label }) => ({ value, label }))}
            />
          </Group>
          {expiry === "never" && <Alert color="orange" p="sm">A token without an end works for whoever finds it, however late. Choose one only where nobody can put a new one in place.</Alert>}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>Cancel</Button>
            <Button type="submit" loading={make.isPending}>Make the token</Button>
          </Group>
        </Stack>
      </form>
    </Section>
  );
}

interface PickerProps {
  me: Me;
  customer: string | null;
  value: readonly Permission[] | null;
  error: string | null;
  onChange: (scopes: readonly Permission[] | null) => void;
}

function ScopePicker({ me, customer, value, error, onChange }: PickerProps) {
  const [choice, setChoice] = useState(() => choiceOf(value));
  const isOutside = (permission: Permission) => !mayGive(me, permission, customer);
  const preset = PRESETS.find((entry) => entry.value === choice);
  const choose = (next: Choice) => {
    setChoice(next);
    onChange(next === "custom" ? (value ?? []) : scopesOf(next));
  };
  const toggle = (permission: Permission) => {
    const next = value?.includes(permission) ? value.filter((entry) => entry !== permission) : [...(value ?? []), permission];
    setChoice(choiceOf(next));
    onChange(next);
  };
  return (
    <Input.Wrapper label="What it may do" labelElement="div" error={error}>
      <SegmentedControl
        fullWidth mt={4} classNames={{ label: classes["segment"] ?? "" }} value={choice} aria-label="What it may do" onChange={choose}
        data={[...PRESETS.map(({ value: key, label }) => ({ value: key, label, disabled: scopesOf(key)?.some(isOutside) ?? false })), { value: "custom", label: "Chosen" }]}
      />
      <Text size="xs" c="dimmed" mt={6} mih={18} role="status">{preset?.meaning ?? "Exactly what is ticked below."}</Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="md" mt="xs" mb={error ? 6 : 0}>
        {offerScopes(me.user.isOperator).map(({ title, scopes }) => (
          <Stack key={title} gap={8} component="fieldset" m={0} p={0} style={{ border: "none" }} data-testid={`scopes-${title}`}>
            <Text component="legend" size="xs" fw={600} c="dimmed" p={0} mb={6}>{title}</Text>
            {scopes.map(({ permission, label, meaning }) => (
              <Checkbox
                key={permission} size="sm" label={label} checked={value === null || value.includes(permission)} disabled={value === null || (isOutside(permission) && !value.includes(permission))} onChange={() => toggle(permission)}
                description={isOutside(permission) ? `${meaning}. Your role does not include it, so no token of yours can.` : meaning}
              />
            ))}
          </Stack>
        ))}
      </SimpleGrid>
    </Input.Wrapper>
  );
}


/** Sets what a customer may have; an empty field is the platform's default. */
import { Button, Group, NumberInput, SimpleGrid, Stack, Text } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import type { Customer, QuotaUse } from "../api/types";
import { Problem } from "../layout/Problem";
import { tellDone } from "../layout/tell";
import { isolate } from "../layout/words";
import { draftOf, formatAmount, KINDS, labelOf, unitOf, wishOf } from "./quota";
import { useSetQuota } from "./queries";

interface Props {
  customer: Customer;
  uses: readonly QuotaUse[];
  onClose: () => void;
}

export function QuotaForm({ customer, uses, onClose }: Props) {
  const set = useSetQuota(customer.id);
  const [draft, setDraft] = useState(() => draftOf(uses));
  const refused = set.error ? splitByField(asApiError(set.error), KINDS) : null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (set.isPending) return;
    set.mutate(wishOf(draft), {
      onSuccess: () => {
        tellDone(`The quota of ${isolate(customer.name)} is set.`);
        onClose();
      },
    });
  };
  return (
    <form onSubmit={submit} noValidate aria-label="Change the quota">
      <Stack>
        {set.error && refused?.rest && <Problem error={set.error} title="The quota stays as it is" />}
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          {KINDS.map((kind) => {
            const use = uses.find(({ name }) => name === kind);
            return (
              <NumberInput
                key={kind} label={labelOf(kind)} min={0} allowNegative={false} allowDecimal={unitOf(kind) !== ""} suffix={unitOf(kind) && ` ${unitOf(kind)}`} placeholder="Platform's default"
                description={use ? `${formatAmount(kind, use.used)} used` : undefined} value={draft[kind]} error={refused?.fields[kind]}
                onChange={(value) => {
                  forgetOutcome(set);
                  setDraft({ ...draft, [kind]: typeof value === "number" ? value : "" });
                }}
              />
            );
          })}
        </SimpleGrid>
        <Text size="xs" c="dimmed">An empty field is the platform's default. A quota below what is used takes nothing away; nothing is added until there is less.</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button type="submit" loading={set.isPending}>Set the quota</Button>
        </Group>
      </Stack>
    </form>
  );
}

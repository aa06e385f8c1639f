/** How much a customer has and may have; operators set it. */
import { Group, Button, Skeleton, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { Customer } from "../api/types";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { useWhyNot } from "../session/session";
import { QuotaBars } from "./QuotaBars";
import { QuotaForm } from "./QuotaForm";
import { useUsage } from "./queries";

export function QuotaTab({ customer }: { customer: Customer }) {
  const query = useUsage(customer.id);
  const maySet = useWhyNot("platform:manage") === null;
  const [isEditing, { open, close }] = useDisclosure(false);
  return (
    <Stack gap="md" maw={720}>
      <Section
        title="Quota" about="What all containers of this customer use together, and how much they may. Containers that are off count as well."
        action={maySet && query.data && !isEditing ? <Button variant="default" onClick={open}>Change the quota</Button> : undefined}
      >
        {query.error && <Problem error={query.error} title="The quota cannot be read" onRetry={() => void query.refetch()} />}
        {query.isPending && <Stack gap="lg" role="status" aria-label="Loading the quota">{[0, 1, 2, 3].map((row) => <Skeleton key={row} h={34} />)}</Stack>}
        {query.data && !isEditing && <QuotaBars uses={query.data} />}
        {query.data && isEditing && <QuotaForm customer={customer} uses={query.data} onClose={close} />}
      </Section>
      {!maySet && <Group><Text size="sm" c="dimmed">Whoever operates the platform sets the quota; ask them for more.</Text></Group>}
    </Stack>
  );
}

/** What a customer uses of each kind, beside what it may. */
import { Badge, Group, Progress, Stack, Text, Tooltip } from "@mantine/core";
import type { QuotaUse } from "../api/types";
import { COLOUR_OF } from "../layout/tone";
import { renderBars } from "./quota";

export function QuotaBars({ uses }: { uses: readonly QuotaUse[] }) {
  const own = new Set(uses.filter(({ isOwn }) => isOwn).map(({ name }) => name));
  return (
    <Stack gap="md" component="ul" m={0} p={0} style={{ listStyle: "none" }} aria-label="Quota">
      {renderBars(uses).map(({ name, label, words, percent, tone, warning }) => (
        <li key={name} data-testid={`quota-${name}`} data-tone={tone}>
          <Group justify="space-between" gap="xs" mb={4}>
            <Group gap={6}>
              <Text size="sm" fw={600}>{label}</Text>
              {own.has(name) && <Tooltip label="Set by an operator for this customer; the others are the platform's defaults."><Badge size="sm" variant="light" color="gray" tabIndex={0}>Own</Badge></Tooltip>}
            </Group>
            <Text size="sm" className="numbers" data-testid="quota-words">{words}</Text>
          </Group>
          {percent !== null && <Progress value={percent} color={COLOUR_OF[tone]} aria-label={`${label}: ${words}`} />}
          {warning && <Text size="xs" c={tone === "bad" ? "red" : "dimmed"} mt={2}>{warning}</Text>}
        </li>
      ))}
    </Stack>
  );
}

/** A runtime and its version, out of what the catalog offers. */
import { Select, SimpleGrid, Stack, Text } from "@mantine/core";
import type { RuntimeOffer } from "../api/types";
import { labelOf, preferredVersion } from "./choice";
import { describeVersion } from "./facts";

export interface RuntimeChoice {
  runtime: string | null;
  version: string | null;
}

interface Props {
  offers: readonly RuntimeOffer[];
  value: RuntimeChoice;
  errors: { runtime?: string | undefined; version?: string | undefined };
  onChange: (choice: RuntimeChoice) => void;
}

export function RuntimePicker({ offers, value, errors, onChange }: Props) {
  const chosen = offers.find((offer) => offer.name === value.runtime);
  const entry = chosen?.versions.find(({ version }) => version === value.version);
  return (
    <Stack gap={6}>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Select
          label="Runtime" placeholder="Choose one" allowDeselect={false} required withAsterisk={false} error={errors.runtime}
          data={offers.map((offer) => ({ value: offer.name, label: offer.title }))}
          value={value.runtime}
          onChange={(runtime) => onChange({ runtime, version: preferredVersion(offers.find((offer) => offer.name === runtime)) })}
        />
        <Select
          label="Version" allowDeselect={false} required withAsterisk={false} error={errors.version} disabled={!chosen}
          data={chosen?.versions.map((entry) => ({ value: entry.version, label: labelOf(entry) })) ?? []}
          value={value.version}
          onChange={(version) => onChange({ ...value, version })}
        />
      </SimpleGrid>
      {entry && <Text size="xs" c="dimmed" data-testid="about-version">{describeVersion(entry)}</Text>}
    </Stack>
  );
}

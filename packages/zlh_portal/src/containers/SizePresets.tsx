/** How large, by what it is good for; whoever knows better has the figures below. */
import { SegmentedControl, Text } from "@mantine/core";
import type { Limits, Resources } from "../api/types";
import { presetOf, presetsOf } from "./presets";
import { describeSize } from "./sizes";

const OWN = "own";

export function SizePresets({ value, limits, onChange }: { value: Resources; limits: Limits; onChange: (size: Resources) => void }) {
  const presets = presetsOf(limits);
  const chosen = presetOf(presets, value);
  if (presets.length < 2) return null;
  return (
    <div>
      <SegmentedControl
        fullWidth mt={4} aria-label="Size" value={chosen?.name ?? OWN}
        onChange={(name) => onChange(presets.find((preset) => preset.name === name)?.size ?? value)}
        data={[...presets.map(({ name, label }) => ({ value: name, label })), ...(chosen ? [] : [{ value: OWN, label: "Your own" }])]}
      />
      <Text size="xs" c="dimmed" mt={6} className="numbers" data-testid="about-size">{describeSize(value)}{chosen && `: for ${chosen.meaning}`}</Text>
    </div>
  );
}

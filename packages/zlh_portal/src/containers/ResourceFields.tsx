/** How large a container shall be: one slider for each limit, from the least to the most that can be asked for. */
import { Group, Input, Slider, Stack, Text } from "@mantine/core";
import { useId } from "@mantine/hooks";
import type { Limits, Resources } from "../api/types";
import classes from "./containers.module.css";
import { type Field, FIELDS, formatSize, indexOfStep, LABELS, stepsBetween, tellUnenforced } from "./sizes";

interface Props {
  value: Resources;
  limits: Limits;
  /** The disk that there is already, which cannot get smaller; none for a container that is not made yet. */
  leastDiskMib?: number;
  /** By the field's name on the wire, such as `resources.cpu`. */
  errors: Readonly<Record<string, string>>;
  onChange: (next: Resources) => void;
}

export function ResourceFields({ value, limits, leastDiskMib, errors, onChange }: Props) {
  const hint = tellUnenforced(limits);
  return (
    <Stack gap="md">
      <div className={classes["sizes"]}>
        {FIELDS.map((field) => (
          <SizeSlider
            key={field} field={field} value={value[field]} most={limits.maximum[field]} usual={limits.default[field]}
            least={field === "diskMib" ? (leastDiskMib ?? 0) : 0} error={errors[`resources.${field}`]}
            onChange={(next) => onChange({ ...value, [field]: next })}
          />
        ))}
      </div>
      {hint && <Text size="xs" c="dimmed" data-testid="unenforced">{hint}</Text>}
    </Stack>
  );
}

interface SliderProps {
  field: Field;
  value: number;
  least: number;
  most: number;
  usual: number;
  error: string | undefined;
  onChange: (next: number) => void;
}

function SizeSlider({ field, value, least, most, usual, error, onChange }: SliderProps) {
  const id = useId();
  const steps = stepsBetween(field, least, most, value);
  const at = (index: number) => steps[index] ?? value;
  const isFixed = steps.length === 1;
  return (
    <div>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        <Text size="sm" fw={500} id={id}>{LABELS[field]}</Text>
        <Text size="sm" className="numbers" data-testid={`size-${field}`}>{field === "pids" ? value : formatSize(field, value)}</Text>
      </Group>
      <Slider
        mt={6} min={0} max={Math.max(1, steps.length - 1)} value={indexOfStep(steps, value)} disabled={isFixed} label={null}
        thumbProps={{ "aria-labelledby": id, "aria-describedby": error ? `${id}-error` : undefined }} thumbValueText={formatSize(field, value)} onChange={(index) => onChange(at(index))}
      />
      <Group justify="space-between" gap="xs" mt={4} wrap="nowrap">
        <Text size="xs" c="dimmed" className="numbers">{isFixed ? "No more is allowed" : bare(field, at(0))}</Text>
        {value !== usual && usual >= least && usual <= most && (
          <Text component="button" type="button" size="xs" className={classes["usual"] ?? ""} onClick={() => onChange(usual)}>usual: {bare(field, usual)}</Text>
        )}
        <Text size="xs" c="dimmed" className="numbers">{isFixed ? "" : bare(field, at(steps.length - 1))}</Text>
      </Group>
      {error && <Input.Error mt={4} id={`${id}-error`}>{error}</Input.Error>}
    </div>
  );
}

function bare(field: Field, value: number): string {
  return field === "pids" ? String(value) : formatSize(field, value);
}

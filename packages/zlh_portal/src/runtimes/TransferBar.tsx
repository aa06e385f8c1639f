/** A step that moves bytes, as a bar with its figures. */
import { Group, Text } from "@mantine/core";
import { Bar } from "../layout/Bar";
import { Said } from "../layout/Said";
import type { Step } from "../api/types";
import { readableBytes } from "../containers/timeline";
import { isolateOdd } from "../layout/words";
import classes from "./runtimes.module.css";
import { tellTransfer } from "./transfer";

export function TransferBar({ step, label }: { step: Step; label: string }) {
  const { stage, percent, bytes, rate, left } = tellTransfer(step);
  const figures = [bytes, rate, left].filter(Boolean).join(" · ") || (step.message ? readableBytes(step.message) : "");
  return (
    <div data-testid="transfer" className={classes["transfer"]}>
      <Bar percent={percent} size="sm" label={percent === null ? label : `${label}: ${percent} %`} transitionDuration={200} />
      <Group justify="space-between" gap="xs" mt={4}>
        <Text size="xs" c="dimmed">{isolateOdd(stage)}{percent === null ? "…" : `, ${percent} %`}</Text>
        <Text size="xs" c="dimmed" className="numbers"><Said text={figures} /></Text>
      </Group>
    </div>
  );
}

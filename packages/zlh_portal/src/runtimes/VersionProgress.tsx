/** How far a version is on its way in or out, and what keeps it from getting there. */
import { Text } from "@mantine/core";
import { Said } from "../layout/Said";
import { isolateOdd } from "../layout/words";
import type { Row } from "./rows";
import { StepTrouble } from "./StepTrouble";
import { TransferBar } from "./TransferBar";

interface Props {
  row: Row;
  isBusy: boolean;
  /** Left out for who may not change anything. What is on its way out is not installed once more. */
  onRetry: (() => void) | undefined;
  /** The version that a rollback leads to. */
  back?: { version: string; onClick: () => void } | undefined;
}

export function VersionProgress({ row, isBusy, onRetry, back }: Props) {
  const { step, isWanted } = row;
  const name = isolateOdd(`${row.name} ${row.version}`);
  if (step?.state === "failed") return <StepTrouble step={step} title={isWanted ? `${name} was not installed` : `${name} was not removed`} isBusy={isBusy} onRetry={isWanted ? onRetry : undefined} back={back} />;
  if (!step) return row.isPending && <Text size="sm" c="dimmed" mt={4} role="status">{isWanted ? "Asked for; its agent has not begun yet." : "Asked away; its agent has not begun yet."}</Text>;
  return (
    <>
      {step.state !== "done" && step.code === null && <TransferBar step={step} label={isWanted ? `Installing ${name}` : `Removing ${name}`} />}
      {step.message && step.code !== null && <Text size="sm" c="dimmed" mt={4}><Said text={step.message} /></Text>}
    </>
  );
}

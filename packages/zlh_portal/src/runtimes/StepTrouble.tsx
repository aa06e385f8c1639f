/** Why a step on a runtime has failed, and what can be done about it. */
import { Alert, Button, Code, Group, Text } from "@mantine/core";
import type { Step } from "../api/types";
import { Name } from "../layout/Name";
import { Said } from "../layout/Said";
import { showUnseen } from "../layout/words";
import { adviseOnRuntime } from "./advice";

interface Props {
  step: Step;
  title: string;
  /** Left out for who may not change anything. */
  onRetry?: (() => void) | undefined;
  /** The version that a rollback leads to. */
  back?: { version: string; onClick: () => void } | undefined;
  isBusy: boolean;
}

export function StepTrouble({ step, title, onRetry, back, isBusy }: Props) {
  return (
    <Alert color="red" title={title} data-testid="step-trouble" mt="xs">
      <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={step.message ?? "It failed without a word."} /></Text>
      <Text size="sm" mt={6}>{adviseOnRuntime(step.code, back !== undefined)}</Text>
      {step.output && <Code block mt={8} mah={180}><bdi>{showUnseen(step.output)}</bdi></Code>}
      <Group mt="sm" gap="xs">
        {back && <Button size="compact-sm" variant="light" disabled={isBusy} onClick={back.onClick}>Roll back to <Name text={back.version} /></Button>}
        {onRetry && <Button size="compact-sm" variant="default" disabled={isBusy} onClick={onRetry}>Retry</Button>}
        <Text size="xs" c="dimmed"><Code><Name text={step.code ?? "failed"} /></Code>{step.exitCode !== null && `, exit code ${step.exitCode}`}</Text>
      </Group>
    </Alert>
  );
}

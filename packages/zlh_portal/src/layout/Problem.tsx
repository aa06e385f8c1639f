/** A failure of a call, in the words of the API; the request id only where an operator has to look for it. */
import { Alert, Button, Code, Group, Text } from "@mantine/core";
import { asApiError } from "../api/problem";
import { Said } from "./Said";

export function Problem({ error, title, onRetry }: { error: unknown; title: string; onRetry?: () => void }) {
  const { code, status, detail, requestId } = asApiError(error);
  return (
    <Alert color="red" title={title} role="alert" data-testid="problem">
      <Text size="sm" component="div"><Said text={detail} /></Text>
      <Group mt="xs" gap="xs">
        {onRetry && <Button size="compact-sm" variant="default" onClick={onRetry}>Try again</Button>}
        <Text size="xs" c="dimmed">
          <Code>{code}</Code>{requestId && status >= 500 && <> request <Code>{requestId}</Code></>}
        </Text>
      </Group>
    </Alert>
  );
}

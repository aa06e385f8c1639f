/** A part of a page with a title of its own. */
import { Group, Paper, Text, Title } from "@mantine/core";
import { type ReactNode, useId } from "react";

interface Props {
  title: string;
  /** A sentence below the title. */
  about?: ReactNode;
  /** What stands at the other end of the title's line. */
  action?: ReactNode;
  children: ReactNode;
}

export function Section({ title, about, action, children }: Props) {
  const id = useId();
  return (
    <Paper component="section" aria-labelledby={id}>
      <Group justify="space-between" align="flex-start" gap="xs" mb="sm">
        <div>
          <Title order={2} id={id}>{title}</Title>
          {about && <Text size="sm" c="dimmed" mt={2}>{about}</Text>}
        </div>
        {action}
      </Group>
      {children}
    </Paper>
  );
}

/** The frame of pages for which nobody has to be signed in. */
import { Center, Group, Stack, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { ColorSchemeButton } from "./ColorSchemeButton";
import { Mark } from "./icons";

export function PublicFrame({ title, maw = 380, children }: { title: string; maw?: number; children: ReactNode }) {
  return (
    <Center mih="100vh" p="md" component="main">
      <Stack w="100%" maw={maw} gap="lg">
        <Group justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap"><Mark size={36} /><Title order={1}>{title}</Title></Group>
          <ColorSchemeButton />
        </Group>
        {children}
      </Stack>
    </Center>
  );
}

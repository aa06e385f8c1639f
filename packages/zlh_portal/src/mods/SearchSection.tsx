/** Finds mods that fit the server, by what their authors say of them. */
import { Badge, Box, Group, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import { asApiError } from "../api/problem";
import type { FoundMod } from "../api/types";
import { ActionButton } from "../layout/ActionButton";
import { LiveRegion } from "../layout/LiveRegion";
import { LoadMore } from "../layout/LoadMore";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { isolateOdd, sayBriefly } from "../layout/words";
import { useModSearch } from "./queries";
import { joinFound } from "./words";

interface Props {
  vmid: number;
  mayChange: boolean;
  /** Why nothing can be changed now; null where it can. */
  reason: string | null;
  onInstall: (found: FoundMod) => void;
}

export function SearchSection({ vmid, mayChange, reason, onInstall }: Props) {
  const [text, setText] = useState("");
  const [query] = useDebouncedValue(text.trim(), 350);
  const found = useModSearch(vmid, query);
  const items = joinFound(found.data?.pages ?? []);
  if (found.error && asApiError(found.error).code === "mods_not_configured") {
    return <Section title="Find more"><Text size="sm" c="dimmed" data-testid="mods-not-configured">This installation does not look for mods: its operator has not turned that on. What is installed can be switched and verified, and files of your own can be uploaded in Files.</Text></Section>;
  }
  return (
    <Section title="Find more" about="What fits the loader and the version of this server, from Modrinth.">
      <TextInput aria-label="Search for mods" placeholder="a name, or what it is for" data-testid="mod-search" maxLength={128} autoComplete="off" value={text} onChange={(event) => setText(event.currentTarget.value)} />
      {found.error && !found.isFetchNextPageError && <Box mt="sm"><Problem error={found.error} title="Nothing can be found now" onRetry={() => void found.refetch()} /></Box>}
      <LiveRegion>{found.data && items.length === 0 && <Text size="sm" c="dimmed" mt="xs">Nothing that fits this server is called like that.</Text>}</LiveRegion>
      <ul className={rows["list"]} aria-label="Found mods">
        {items.map((item) => (
          <li key={item.projectId}>
            <Group justify="space-between" gap="xs" py={8} wrap="nowrap">
              <div style={{ minWidth: 0 }}><Text size="sm" fw={600}><Name text={item.title} /> <Text span size="xs" c="dimmed">by <Name text={item.author} />, fetched {item.downloads.toLocaleString("en")} times</Text></Text><Text size="xs" c="dimmed" lineClamp={2}><bdi>{sayBriefly(item.description)}</bdi></Text></div>
              {item.isInstalled ? <Badge variant="light" flex="none">Installed</Badge> : mayChange && <ActionButton size="compact-sm" variant="light" flex="none" reason={reason} aria-label={`Install ${isolateOdd(item.title)}`} onClick={() => onInstall(item)}>Install</ActionButton>}
            </Group>
          </li>
        ))}
      </ul>
      <LoadMore query={found} label="Load more" />
    </Section>
  );
}

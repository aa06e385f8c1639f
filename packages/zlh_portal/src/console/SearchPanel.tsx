/** Finds a text in everything that is kept of a console, and shows each match with the lines around it. */
import { ActionIcon, Button, CloseButton, Group, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, type SyntheticEvent, useState } from "react";
import { asApiError } from "../api/problem";
import { SearchIcon } from "../layout/icons";
import classes from "./console.module.css";
import { byteLength, CONTEXT_BYTES, cutExcerpt, type Match } from "./history";
import type { ReadHistory } from "./source";
import { Said } from "../layout/Said";

// The API names no more of them.
const MOST = 1000;

interface Props {
  path: string;
  readHistory: ReadHistory;
  onClose: () => void;
}

export function SearchPanel({ path, readHistory, onClose }: Props) {
  const [typed, setTyped] = useState("");
  const [needle, setNeedle] = useState("");
  // Counted from the newest, which most people look for.
  const [back, setBack] = useState(0);
  const found = useQuery({
    queryKey: ["console-search", path, needle], enabled: needle !== "", gcTime: 0, staleTime: "static",
    queryFn: ({ signal }) => readHistory({ q: needle, limit: 1 }, signal),
  });
  const matches = found.data?.matches ?? [];
  const at = matches.length - 1 - back;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setBack(0);
    if (typed === needle) void found.refetch();
    else setNeedle(typed);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") onClose();
  };
  return (
    <div className={classes["search"]} role="search" aria-label="Search in the output" onKeyDown={onKeyDown}>
      <form onSubmit={submit}>
        <Group gap={6}>
          <TextInput
            size="xs" flex="1 1 160px" aria-label="Text to find" placeholder="Find in all kept output" leftSection={<SearchIcon />} autoFocus autoComplete="off" spellCheck={false}
            maxLength={256} value={typed} onChange={(event) => setTyped(event.target.value)}
          />
          <Button size="xs" type="submit" variant="light" loading={found.isFetching} disabled={typed === ""}>Find</Button>
          <ActionIcon variant="subtle" color="gray" aria-label="Older match" disabled={at <= 0} onClick={() => setBack(back + 1)}>↑</ActionIcon>
          <ActionIcon variant="subtle" color="gray" aria-label="Newer match" disabled={back === 0} onClick={() => setBack(back - 1)}>↓</ActionIcon>
          <Text size="xs" className="numbers" role="status" miw={86} data-testid="search-count">
            {needle === "" || !found.data ? "" : matches.length === 0 ? "Nothing found" : `${at + 1} of ${matches.length}${matches.length >= MOST ? "+" : ""}`}
          </Text>
          <CloseButton size="sm" ml="auto" aria-label="Close the search" onClick={onClose} />
        </Group>
      </form>
      {found.error && <Text size="xs" c="red" mt={6} role="alert"><Said text={asApiError(found.error).detail} /></Text>}
      {matches.length >= MOST && <Text size="xs" c="dimmed" mt={4}>There are more; these are the {MOST} oldest. A longer text finds fewer.</Text>}
      {found.data && matches[at] !== undefined && <Around path={path} readHistory={readHistory} match={{ stream: found.data.stream, at: matches[at], length: byteLength(needle) }} />}
    </div>
  );
}

function Around({ path, readHistory, match }: Omit<Props, "onClose"> & { match: Match }) {
  const from = Math.max(0, match.at - CONTEXT_BYTES);
  const page = useQuery({
    queryKey: ["console-page", path, match], staleTime: "static",
    queryFn: ({ signal }) => readHistory({ from, limit: match.at - from + match.length + CONTEXT_BYTES }, signal),
  });
  if (page.error) return <Text size="xs" c="red" mt={6} role="alert"><Said text={asApiError(page.error).detail} /></Text>;
  if (!page.data) return <pre className={classes["excerpt"]} aria-busy="true"> </pre>;
  const excerpt = cutExcerpt(page.data, match);
  if (!excerpt) return <Text size="xs" c="dimmed" mt={6}>This part is no longer kept.</Text>;
  return <pre className={classes["excerpt"]} tabIndex={0} aria-label="The match with the lines around it" data-testid="excerpt">{excerpt.before}<mark>{excerpt.match}</mark>{excerpt.after}</pre>;
}

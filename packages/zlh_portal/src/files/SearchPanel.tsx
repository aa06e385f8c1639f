/** Finds files by name or by a text in them, below the folder that is shown. */
import { Anchor, Button, Checkbox, CloseButton, Group, Paper, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, type SyntheticEvent, useState } from "react";
import { Link } from "react-router";
import { Problem } from "../layout/Problem";
import { formatBytes, showUnseen } from "../layout/words";
import { renderAddress } from "./address";
import { type Place, searchFiles, type SearchWish } from "./calls";
import type { FoundFile } from "../api/types";
import classes from "./files.module.css";
import { KindIcon } from "./icons";
import { showName } from "./names";
import { parentOf } from "./paths";
import { countOf } from "./rows";

interface Props {
  place: Place;
  path: string;
  onClose: () => void;
}

export function SearchPanel({ place, path, onClose }: Props) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [matchCase, setMatchCase] = useState(false);
  const [wish, setWish] = useState<SearchWish | null>(null);
  const found = useQuery({
    queryKey: ["file-search", place.vmid, place.root, wish], enabled: wish !== null, gcTime: 0, staleTime: "static", retry: false,
    queryFn: ({ signal }) => searchFiles(place, wish ?? { path, name, text, matchCase }, signal),
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (name !== "" || text !== "") setWish({ path, name, text, matchCase });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") onClose();
  };
  return (
    <Paper p="sm" role="search" aria-label="Search in files" onKeyDown={onKeyDown}>
      <form onSubmit={submit}>
        <Group gap="xs" align="flex-end">
          <TextInput size="xs" flex="1 1 150px" label="Name" placeholder="*.log or part of it" autoFocus autoComplete="off" spellCheck={false} maxLength={256} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <TextInput size="xs" flex="1 1 180px" label="Text in it" autoComplete="off" spellCheck={false} maxLength={256} value={text} onChange={(event) => setText(event.currentTarget.value)} />
          <Checkbox size="xs" mb={7} label="Match case" checked={matchCase} onChange={(event) => setMatchCase(event.currentTarget.checked)} />
          <Button size="xs" type="submit" loading={found.isFetching} disabled={name === "" && text === ""}>Search</Button>
          <CloseButton size="sm" mb={3} ml="auto" aria-label="Close the search" onClick={onClose} />
        </Group>
      </form>
      <Stack gap={6} mt={6}>
        {found.error && <Problem error={found.error} title="The search failed" />}
        {found.isFetching && <Text size="xs" c="dimmed" role="status">Searching in <bdi>/{showName(path)}</bdi>, for ten seconds at most…</Text>}
        {found.data && <Text size="xs" c="dimmed" role="status" data-testid="search-count">{describeFound(found.data.items.length, found.data.lookedAt, found.data.stoppedBy, found.data.skippedCount)}</Text>}
        {found.data && (
          <ul className={`${classes["list"]} ${classes["found"]}`} aria-label="Found files">
            {found.data.items.map((file) => <Found key={file.path} place={place} file={file} />)}
          </ul>
        )}
      </Stack>
    </Paper>
  );
}

function describeFound(count: number, lookedAt: number, stoppedBy: "limit" | "time" | null, skipped: number): string {
  const found = countOf(count, "result") ?? "Nothing found";
  const why = stoppedBy === "time" ? " Time ran out; there may be more: search in a smaller folder." : stoppedBy === "limit" ? " There may be more; these are the first." : "";
  return `${found} in ${lookedAt.toLocaleString("en")} files and folders.${why}${skipped > 0 ? ` ${skipped.toLocaleString("en")} could not be looked into.` : ""}`;
}

function Found({ place, file }: { place: Place; file: FoundFile }) {
  const to = (line: number | null) =>
    renderAddress(file.kind === "dir" ? { root: place.root, path: file.path, open: null, line: null } : { root: place.root, path: parentOf(file.path), open: file.path, line });
  return (
    <li data-testid={`found-${file.path}`}>
      <Group gap={6} wrap="nowrap">
        <KindIcon kind={file.kind} name={file.path} />
        <Anchor component={Link} to={to(null)} size="sm" truncate><bdi>{showName(file.path)}</bdi></Anchor>
        {file.kind === "file" && <Text size="xs" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>{formatBytes(file.size)}</Text>}
      </Group>
      {file.lines.map(({ number, text }) => (
        <Link key={number} to={to(number)} className={classes["line"] ?? ""}><Text span inherit c="dimmed">{String(number).padStart(5)}  </Text><bdi>{showUnseen(text)}</bdi></Link>
      ))}
    </li>
  );
}

/** A text file, opened to be read and written. */
import { Alert, Badge, Button, Group, Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useBlocker } from "react-router";
import { asApiError } from "../../api/problem";
import { Problem } from "../../layout/Problem";
import { usePageTitle } from "../../layout/title";
import { formatBytes } from "../../layout/words";
import { contentAddress, fetchContent, fetchEntry, type Place, putContent, type Replaces } from "../calls";
import { folderKey, rootsKey } from "../keys";
import { showName } from "../names";
import { nameOf } from "../paths";
import { nameOfLanguage } from "./codemirror";
import { CompareDialog } from "./CompareDialog";
import { change, chooseAbout, type Document, type DocumentEvent, type Found, isUnsaved, judgeBytes, judgeEntry, type NoText, openDocument, type Theirs, WHY_NO_TEXT } from "./document";
import classes from "./editor.module.css";
import { MOST_BYTES, type Text as FileText } from "./text";
import { type EditorHandle, TextEditor } from "./TextEditor";
import { Modal } from "../../layout/Modal";

interface Props {
  place: Place;
  path: string;
  line: number | null;
  mayWrite: boolean;
  onClose: () => void;
}

async function findFile(place: Place, path: string, signal: AbortSignal | null = null): Promise<Found> {
  return judgeEntry(await fetchEntry(place, path, signal)) ?? judgeBytes(await fetchContent(place, path, signal));
}

export function EditorView(props: Props) {
  const { place, path, onClose } = props;
  usePageTitle(showName(nameOf(path)));
  const opened = useQuery({
    // Never looked at again by itself, whatever else is asked anew: what one types is not replaced under one's hands.
    queryKey: ["file-open", place.vmid, place.root, path], gcTime: 0, staleTime: "static",
    queryFn: ({ signal }) => findFile(place, path, signal),
  });
  if (opened.error) {
    return <Stack gap="sm"><Back onClose={onClose} /><Problem error={opened.error} title={`${showName(nameOf(path))} cannot be opened`} onRetry={() => void opened.refetch()} /></Stack>;
  }
  if (!opened.data) return <Skeleton h={420} role="status" aria-label="Loading the file" />;
  if (opened.data.kind !== "text") return <Stack gap="sm"><Back onClose={onClose} /><NoText place={place} path={path} opened={opened.data} /></Stack>;
  return <Writing key={opened.dataUpdatedAt} {...props} text={opened.data.text} version={opened.data.version} />;
}

function Back({ onClose }: { onClose: () => void }) {
  return <div><Button variant="subtle" color="gray" c="dimmed" fw={500} size="compact-sm" ml={-8} onClick={onClose}>← Back to the folder</Button></div>;
}

function NoText({ place, path, opened }: { place: Place; path: string; opened: NoText }) {
  const more = {
    large: `Files of up to ${formatBytes(MOST_BYTES)} open in the editor. Download it, or use an editor in a terminal.`,
    binary: "Only text in UTF-8 is opened here; anything else would be broken by the first save.",
    other: "Pipes, sockets and devices have nothing that could be shown.",
  }[opened.kind];
  return (
    <Paper p="xl" ta="center" data-testid="no-text">
      <Title order={2} style={{ overflowWrap: "anywhere" }}><bdi>{showName(nameOf(path))}</bdi></Title>
      <Text mt={4}>{WHY_NO_TEXT[opened.kind]}{"size" in opened && ` (${formatBytes(opened.size)})`}</Text>
      <Text size="sm" c="dimmed" mt={4}>{more}</Text>
      {opened.kind !== "other" && <Button mt="md" component="a" href={contentAddress(place, path)} download>Download</Button>}
    </Paper>
  );
}

function Writing({ place, path, line, mayWrite, onClose, text, version }: Props & { text: FileText; version: string }) {
  const queries = useQueryClient();
  const editor = useRef<EditorHandle>(null);
  const [document, setDocument] = useState<Document>(() => openDocument(version));
  const [theirs, setTheirs] = useState<Theirs | null>(null);
  // What is compared with theirs: one's own text as it was when one asked for that.
  const [compared, setCompared] = useState<string | null>(null);
  const [start, setStart] = useState(text);
  const saved = useRef(text.text);
  const tell = useCallback((event: DocumentEvent) => setDocument((before) => change(before, event)), []);
  const unsaved = isUnsaved(document);

  const save = async (replaces: Replaces) => {
    const body = editor.current?.read();
    if (body === undefined) return;
    tell({ type: "save" });
    try {
      const entry = await putContent(place, path, body, replaces);
      saved.current = body;
      setTheirs(null);
      setCompared(null);
      tell({ type: "saved", version: entry.version });
      void queries.invalidateQueries({ queryKey: folderKey(place.vmid, place.root) });
      void queries.invalidateQueries({ queryKey: rootsKey(place.vmid) });
    } catch (problem) {
      const { code } = asApiError(problem);
      if (code === "file_changed" || code === "path_not_found" || code === "file_already_there") await look();
      else tell({ type: "failed", problem });
    }
  };
  /** See what is there now, so that the choice is about that. */
  const look = async () => {
    try {
      const there = await findFile(place, path);
      setTheirs(there);
      tell({ type: "seen", version: there.version });
      tell({ type: "differs" });
    } catch (problem) {
      if (asApiError(problem).code !== "path_not_found") {
        tell({ type: "failed", problem });
        return;
      }
      setTheirs({ kind: "gone" });
      tell({ type: "seen", version: null });
      tell({ type: "differs" });
    }
  };
  const replaces = (): Replaces => (document.version === null ? "nothing" : { version: document.version });
  const onSave = () => {
    if (mayWrite && document.phase !== "saving" && document.phase !== "clean" && document.phase !== "differs") void save(replaces());
  };
  const takeTheirs = () => {
    if (theirs?.kind !== "text") return;
    saved.current = theirs.text.text;
    setStart(theirs.text);
    editor.current?.replace(theirs.text);
    tell({ type: "reloaded", version: theirs.version });
    setTheirs(null);
    setCompared(null);
  };
  const blocker = useBlocker(unsaved);
  useEffect(() => {
    if (!unsaved) return;
    const stay = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", stay);
    return () => window.removeEventListener("beforeunload", stay);
  }, [unsaved]);

  const name = showName(nameOf(path));
  const choice = theirs && chooseAbout(theirs);
  return (
    <Stack gap="xs" data-testid="editor" data-phase={document.phase}>
      <Group justify="space-between" gap="xs">
        <div style={{ minWidth: 0 }}>
          <Back onClose={onClose} />
          <Group gap="xs">
            <Title order={2} style={{ overflowWrap: "anywhere" }}><bdi>{name}</bdi>{unsaved && <span role="img" aria-label="Not saved"> •</span>}</Title>
            <Badge variant="light" color="gray" size="sm">{nameOfLanguage(nameOf(path))}</Badge>
            {start.lineEnd !== "\n" && <Badge variant="light" color="gray" size="sm">{start.lineEnd === null ? "Mixed line ends" : "CRLF"}</Badge>}
          </Group>
        </div>
        <Group gap="xs">
          <Text size="xs" c="dimmed" role="status" data-testid="editor-state">{describe(document, mayWrite)}</Text>
          <Button size="xs" variant="default" component="a" href={contentAddress(place, path)} download>Download</Button>
          {mayWrite && <Button size="xs" loading={document.phase === "saving"} disabled={document.phase === "clean" || document.phase === "differs"} onClick={onSave}>Save</Button>}
        </Group>
      </Group>
      {document.phase === "failed" && <Problem error={document.problem} title="It was not saved; what you wrote is still here" onRetry={onSave} />}
      {document.phase === "differs" && choice && (
        <Alert color="orange" title={choice.title} role="alert" data-testid="differs">
          <Text size="sm" mb="xs">{choice.meaning}</Text>
          <Group gap="xs">
            {choice.isText && <Button size="compact-sm" onClick={() => setCompared(editor.current?.read() ?? "")}>Compare side by side</Button>}
            <Button size="compact-sm" variant="default" onClick={() => void save(replaces())}>{choice.overwrite}</Button>
            {choice.isText && <Button size="compact-sm" variant="default" onClick={takeTheirs}>Take theirs, drop mine</Button>}
          </Group>
        </Alert>
      )}
      <div className={classes["frame"]}>
        <TextEditor ref={editor} name={nameOf(path)} label={`Text of ${name}`} start={start} line={line} isReadOnly={!mayWrite} onSave={onSave} onChange={(now) => tell({ type: "typed", isSame: now === saved.current })} />
      </div>
      <Text size="xs" c="dimmed">Ctrl+S saves, Ctrl+F finds. Escape, then Tab, leaves the text.</Text>
      {compared !== null && theirs?.kind === "text" && (
        <CompareDialog
          name={nameOf(path)} theirs={theirs.text.text} mine={compared} onClose={() => setCompared(null)} onTakeTheirs={takeTheirs}
          onSave={(merged) => {
            editor.current?.replace({ text: merged, lineEnd: start.lineEnd });
            void save(replaces());
          }}
        />
      )}
      {blocker.state === "blocked" && (
        <Modal opened onClose={() => blocker.reset()} title="Leave without saving?" centered>
          <Stack>
            <Text size="sm" style={{ overflowWrap: "anywhere" }}>What you have changed in <bdi>{name}</bdi> is not saved.</Text>
            <Group justify="flex-end">
              <Button variant="default" data-autofocus onClick={() => blocker.reset()}>Stay</Button>
              <Button color="red" onClick={() => blocker.proceed()}>Leave</Button>
            </Group>
          </Stack>
        </Modal>
      )}
    </Stack>
  );
}

function describe({ phase }: Document, mayWrite: boolean): string {
  if (!mayWrite) return "Read only";
  return { clean: "Saved", changed: "Not saved", saving: "Saving…", failed: "Not saved", differs: "Not saved" }[phase];
}


/** One folder with all that can be done in it. */
import { Button, Group, Menu, Paper, Stack, Text, Title } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { type DragEvent, type ReactNode, useRef, useState } from "react";
import { asApiError } from "../api/problem";
import type { ContainerStatus } from "../api/types";
import { serverNow } from "../layout/clock";
import { Problem } from "../layout/Problem";
import { SearchIcon } from "../layout/icons";
import { tellProblem } from "../layout/tell";
import { formatBytes } from "../layout/words";
import { MayNot } from "../session/MayNot";
import { type Action, LABELS, offerActions, openingOf } from "./actions";
import { type Address, renderAddress } from "./address";
import { archiveAddress, contentAddress, fetchEntry, makeFolder, type Place } from "./calls";
import { ChecksumDialog } from "./ChecksumDialog";
import { CompressDialog } from "./CompressDialog";
import type { FileEntry, FileRoot } from "../api/types";
import { Crumbs } from "./Crumbs";
import { DeleteDialog } from "./DeleteDialog";
import { FileGrid } from "./FileGrid";
import { FileMenu } from "./FileMenu";
import classes from "./files.module.css";
import { NameDialog } from "./NameDialog";
import { showName } from "./names";
import { OperationList } from "./OperationList";
import { joinPath, nameOf, parentOf } from "./paths";
import { PlaceDialog } from "./PlaceDialog";
import { useFolder, useRefreshFiles } from "./queries";
import { RightsDialog } from "./RightsDialog";
import { RoomBar, RoomWarning } from "./RoomBar";
import { BY_NAME, countEntries, joinEntries, type Order, sortByRights } from "./rows";
import { SearchPanel } from "./SearchPanel";
import { NOTHING, select, type Selection } from "./selection";
import { type Dropped, readDrop, readInput } from "./uploads/chosen";
import { useUploads } from "./uploads/context";
import { Unfinished } from "./uploads/Unfinished";

interface Ask {
  act: Exclude<Action, "open" | "edit" | "download"> | "new file" | "new folder";
  entries: FileEntry[];
}

interface Props {
  status: ContainerStatus;
  place: Place;
  roots: readonly FileRoot[];
  root: FileRoot;
  path: string;
  chunkBytes: number;
  mayWrite: boolean;
  goTo: (to: Partial<Address>) => void;
}

export function FolderView({ status, place, roots, root, path, chunkBytes, mayWrite, goTo }: Props) {
  const [order, setOrder] = useState<Order>(BY_NAME);
  const [hidden, setHidden] = useLocalStorage({ key: "zlh-files-hidden", defaultValue: false, getInitialValueInEffect: false });
  const [kept, setSelection] = useState<Selection>(NOTHING);
  const [menuAt, setMenuAt] = useState<{ x: number; y: number } | null>(null);
  const [ask, setAsk] = useState<Ask | null>(null);
  const [isSearching, setSearching] = useState(false);
  const [since] = useState(serverNow);
  const uploads = useUploads();
  const refresh = useRefreshFiles(place.vmid);
  const query = useFolder(place, path, { order, hidden });
  const joined = joinEntries(query.data?.pages ?? []);
  const entries = order.by === "rights" && !query.hasNextPage ? sortByRights(joined, order.descending) : joined;
  // What was chosen and is gone is not chosen any more.
  const selection = select(kept, { type: "listed" }, entries.map(({ name }) => name));
  const chosen = entries.filter(({ name }) => selection.chosen.has(name));
  const actions = offerActions(chosen, mayWrite);
  const area = useRef<HTMLDivElement>(null);

  // Another folder begins with nothing chosen; who comes up finds the folder that they came from.
  const [last, setLast] = useState(path);
  if (last !== path) {
    const from = last !== "" && parentOf(last) === path ? nameOf(last) : null;
    setLast(path);
    setSelection(from === null ? NOTHING : { chosen: new Set([from]), at: from, anchor: from });
  }

  const focusGrid = () => setTimeout(() => area.current?.querySelector<HTMLElement>("[role=grid]")?.focus({ preventScroll: true }));
  const closeAsk = () => {
    setAsk(null);
    focusGrid();
  };
  const open = (entry: FileEntry) => {
    const to = joinPath(path, entry.name);
    switch (openingOf(entry)) {
      case "folder":
        goTo({ path: to });
        focusGrid();
        break;
      case "file":
        goTo({ open: to });
        break;
      case "link":
        fetchEntry(place, to).then(({ kind }) => (kind === "dir" ? goTo({ path: to }) : goTo({ open: to })), tellProblem("The link leads nowhere"));
        break;
      case null:
        break;
    }
  };
  const act = (action: Action) => {
    const [only] = chosen;
    if (!only) return;
    if (action === "open" || action === "edit") open(only);
    else if (action === "download") follow(downloadOf(place, path, chosen));
    else setAsk({ act: action, entries: chosen });
  };
  const upload = ({ files, emptyFolders }: Dropped) => {
    if (files.length > 0) uploads.add(place, files.map((one) => ({ ...one, path: joinPath(path, one.path) })), chunkBytes);
    for (const folder of emptyFolders) makeFolder(place, joinPath(path, folder), true).then(refresh, tellProblem("A folder was not made"));
  };

  // What could not be had is asked for again by hand alone: the list would ask without end.
  const hasMore = query.hasNextPage && !query.isFetchNextPageError;
  const isMissing = query.error !== null && ["path_not_found", "not_a_folder"].includes(asApiError(query.error).code);
  return (
    <Stack gap="sm">
      <div className={classes["bar"]}>
        <Crumbs roots={roots} root={root} path={path} onRoot={(name) => goTo({ root: name, path: "" })} />
        {root.room && <RoomBar room={root.room} />}
      </div>
      {root.room && <RoomWarning room={root.room} />}
      <div className={classes["bar"]}>
        <Group gap="xs">
          {mayWrite && <UploadButton onChosen={upload} />}
          {mayWrite && <NewButton onNew={(kind) => setAsk({ act: kind, entries: [] })} />}
          <Button size="xs" variant="default" leftSection={<SearchIcon />} aria-expanded={isSearching} onClick={() => setSearching(!isSearching)}>Search</Button>
          <MoreButton place={place} path={path} hidden={hidden} onHidden={() => setHidden(!hidden)} onRefresh={refresh} />
        </Group>
        {chosen.length > 0 && (
          <Group gap="xs">
            <Text size="xs" c="dimmed" className="numbers">{describeChosen(chosen)}</Text>
            {actions.includes("download") && <Button size="xs" variant="default" component="a" href={downloadOf(place, path, chosen)} download>Download</Button>}
            <Menu position="bottom-end" width={220}>
              <Menu.Target><Button size="xs" variant="default">Actions ▾</Button></Menu.Target>
              <Menu.Dropdown>{actions.filter((action) => action !== "download").map((action) => <Menu.Item key={action} {...(action === "delete" ? { color: "red" } : {})} onClick={() => act(action)}>{LABELS[action]}</Menu.Item>)}</Menu.Dropdown>
            </Menu>
          </Group>
        )}
      </div>
      <MayNot permission="files:write" customerId={status.customerId} />
      {mayWrite && <Unfinished vmid={place.vmid} />}
      <OperationList vmid={place.vmid} since={since} mayCancel={mayWrite} />
      {isSearching && <SearchPanel place={place} path={path} onClose={() => setSearching(false)} />}
      {query.error && (isMissing || !query.data) && <FolderProblem error={query.error} isMissing={isMissing} path={path} onUp={() => goTo({ path: parentOf(path) })} onRetry={() => void query.refetch()} />}
      {!isMissing && (query.data !== undefined || query.isPending) && (
        <DropArea isOn={mayWrite} onDropped={upload}>
          <div ref={area}>
            <FileGrid
              label={`Files in ${path === "" ? root.title : showName(path)}`} entries={entries} hasMore={hasMore} isFetching={query.isFetching && (query.isPending || query.isFetchingNextPage)} order={order} selection={selection}
              hrefOf={(entry) => hrefOf(place, path, entry)} onOrder={setOrder} onSelect={setSelection} onOpen={open} onUp={() => path !== "" && goTo({ path: parentOf(path) })}
              onKey={(key) => (key === "rename" ? actions.includes("rename") : actions.includes("delete")) && act(key)} onMenu={setMenuAt} onMore={() => void query.fetchNextPage()}
            />
            {query.isFetchNextPageError && <Problem error={query.error} title="The rest of this folder cannot be shown" onRetry={() => void query.fetchNextPage()} />}
            {query.data && entries.length === 0 && <EmptyFolder mayWrite={mayWrite} hidden={hidden} isRoot={path === ""} />}
          </div>
        </DropArea>
      )}
      <Text size="xs" c="dimmed" role="status" data-testid="folder-count">{query.data ? `${countEntries(entries)}${hasMore ? " so far; scroll for more" : ""}` : ""}</Text>
      <FileMenu at={menuAt} title={chosen.length === 1 && chosen[0] ? showName(chosen[0].name) : countEntries(chosen)} actions={actions} onAct={act} onClose={() => {
        setMenuAt(null);
        focusGrid();
      }} />
      {ask && <Asked ask={ask} place={place} folder={path} onClose={closeAsk} onDone={(name) => {
        if (name !== null) setSelection({ chosen: new Set([name]), at: name, anchor: name });
        if (ask.act === "new file" && name !== null) goTo({ open: joinPath(path, name) });
        else closeAsk();
      }} />}
    </Stack>
  );
}

function Asked({ ask, place, folder, onDone, onClose }: { ask: Ask; place: Place; folder: string; onDone: (name: string | null) => void; onClose: () => void }) {
  const done = () => onDone(null);
  if (ask.act === "new file" || ask.act === "new folder") return <NameDialog place={place} folder={folder} kind={ask.act} onDone={onDone} onClose={onClose} />;
  const [first] = ask.entries;
  if (!first) return null;
  switch (ask.act) {
    case "rename":
      return <NameDialog place={place} folder={folder} kind="rename" name={first.name} onDone={onDone} onClose={onClose} />;
    case "move":
    case "copy":
    case "extract":
      return <PlaceDialog place={place} folder={folder} kind={ask.act} entries={ask.entries} onDone={done} onClose={onClose} />;
    case "compress":
      return <CompressDialog place={place} folder={folder} entries={ask.entries} onDone={done} onClose={onClose} />;
    case "rights":
      return <RightsDialog place={place} folder={folder} entry={first} onDone={done} onClose={onClose} />;
    case "checksum":
      return <ChecksumDialog place={place} folder={folder} entry={first} onClose={onClose} />;
    case "delete":
      return <DeleteDialog place={place} folder={folder} entries={ask.entries} onDone={done} onClose={onClose} />;
  }
}

function describeChosen(chosen: readonly FileEntry[]): string {
  const bytes = chosen.reduce((sum, { kind, size }) => sum + (kind === "file" ? size : 0), 0);
  return `${countEntries(chosen)} chosen${bytes > 0 ? `, ${formatBytes(bytes)}` : ""}`;
}

function hrefOf(place: Place, folder: string, entry: FileEntry): string {
  const path = joinPath(folder, entry.name);
  return `/containers/${place.vmid}/files${renderAddress({ root: place.root, path: entry.kind === "dir" ? path : folder, open: entry.kind === "dir" ? null : path, line: null })}`;
}

/** A single file comes as it is; a folder, or several entries, as an archive. */
function downloadOf(place: Place, folder: string, chosen: readonly FileEntry[]): string {
  const [only, ...others] = chosen;
  const paths = chosen.map(({ name }) => joinPath(folder, name));
  return only?.kind === "file" && others.length === 0 ? contentAddress(place, paths[0] ?? "") : archiveAddress(place, paths, "zip");
}

/** The browser takes what is an attachment by itself, and stays where it is. */
function follow(address: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}

function UploadButton({ onChosen }: { onChosen: (dropped: Dropped) => void }) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const take = (input: HTMLInputElement) => {
    onChosen(readInput(input.files));
    // The same file may be chosen again.
    input.value = "";
  };
  return (
    <>
      <Menu position="bottom-start" width={200}>
        <Menu.Target><Button size="xs">Upload ▾</Button></Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => files.current?.click()}>Files…</Menu.Item>
          <Menu.Item onClick={() => folder.current?.click()}>A folder…</Menu.Item>
          <Menu.Label>Or drop them onto the list</Menu.Label>
        </Menu.Dropdown>
      </Menu>
      <input ref={files} type="file" multiple hidden aria-label="Files to upload" data-testid="choose-files" onChange={(event) => take(event.currentTarget)} />
      <input
        ref={(input) => {
          folder.current = input;
          input?.setAttribute("webkitdirectory", "");
        }} type="file" hidden aria-label="Folder to upload" data-testid="choose-folder" onChange={(event) => take(event.currentTarget)}
      />
    </>
  );
}

function NewButton({ onNew }: { onNew: (kind: "new file" | "new folder") => void }) {
  return (
    <Menu position="bottom-start" width={180}>
      <Menu.Target><Button size="xs" variant="default">New ▾</Button></Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => onNew("new file")}>File…</Menu.Item>
        <Menu.Item onClick={() => onNew("new folder")}>Folder…</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

interface MoreProps {
  place: Place;
  path: string;
  hidden: boolean;
  onHidden: () => void;
  onRefresh: () => void;
}

function MoreButton({ place, path, hidden, onHidden, onRefresh }: MoreProps) {
  return (
    <Menu position="bottom-start" width={230}>
      <Menu.Target><Button size="xs" variant="default" aria-label="More about this folder" px={10}>⋯</Button></Menu.Target>
      <Menu.Dropdown>
        <Menu.CheckboxItem checked={hidden} closeMenuOnClick onChange={onHidden}>Hidden files</Menu.CheckboxItem>
        <Menu.Item onClick={onRefresh}>Look again</Menu.Item>
        <Menu.Divider />
        <Menu.Item component="a" href={archiveAddress(place, [path], "zip")} download>Download as zip</Menu.Item>
        <Menu.Item component="a" href={archiveAddress(place, [path], "tar.gz")} download>Download as tar.gz</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** Takes what is dropped onto it, and says so while something is held above it. */
function DropArea({ isOn, onDropped, children }: { isOn: boolean; onDropped: (dropped: Dropped) => void; children: ReactNode }) {
  // What is entered is told before what is left, and both may come before this is drawn again.
  const [depth, setDepth] = useState(0);
  const holdsFiles = (event: DragEvent) => isOn && event.dataTransfer.types.includes("Files");
  return (
    <div
      className={classes["area"]} data-testid="drop-area"
      onDragEnter={(event) => {
        if (holdsFiles(event)) setDepth((before) => before + 1);
      }}
      onDragLeave={(event) => {
        if (holdsFiles(event)) setDepth((before) => Math.max(0, before - 1));
      }}
      onDragOver={(event) => {
        if (holdsFiles(event)) event.preventDefault();
      }}
      onDrop={(event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        setDepth(0);
        readDrop(event.dataTransfer).then(onDropped, tellProblem("What was dropped cannot be read"));
      }}
    >
      {children}
      {depth > 0 && <div className={classes["drop"]}>Drop files and folders to upload them here</div>}
    </div>
  );
}

function FolderProblem({ error, isMissing, path, onUp, onRetry }: { error: unknown; isMissing: boolean; path: string; onUp: () => void; onRetry: () => void }) {
  if (!isMissing) return <Problem error={error} title="This folder cannot be shown" onRetry={onRetry} />;
  return (
    <Paper p="xl" ta="center" data-testid="folder-missing">
      <Title order={2}>There is no such folder</Title>
      <Text size="sm" c="dimmed" mt={4} style={{ overflowWrap: "anywhere" }}><bdi>/{showName(path)}</bdi> was removed or renamed, or the address is mistyped.</Text>
      <Button mt="md" variant="default" onClick={onUp}>One folder up</Button>
    </Paper>
  );
}

function EmptyFolder({ mayWrite, hidden, isRoot }: { mayWrite: boolean; hidden: boolean; isRoot: boolean }) {
  return (
    <Stack align="center" gap={4} py="xl" data-testid="empty-folder">
      <Text fw={600}>{hidden ? "This folder is empty" : "Nothing to see here"}</Text>
      {mayWrite && <Text size="sm" c="dimmed" ta="center">Drop files or folders here, upload them, or make a new file. {isRoot && "What programs and terminals write shows up by itself."}</Text>}
      {!hidden && <Text size="xs" c="dimmed">Names that begin with a dot are left out; the menu ⋯ shows them.</Text>}
    </Stack>
  );
}

/** All uploads of this session, at the edge of whatever page one looks at. */
import { ActionIcon, Button, CloseButton, Group, Paper, Progress, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";
import { formatBytes, formatDuration } from "../../layout/words";
import { renderAddress } from "../address";
import { rowsInView } from "../rows";
import { showName } from "../names";
import { nameOf, parentOf } from "../paths";
import { ConflictDialog } from "./ConflictDialog";
import { useUploads, useUploadState } from "./context";
import { countTotals, findQuestion, hasEnded, type Item } from "./queue";
import classes from "./uploads.module.css";
import { describeItem } from "./words";

const ROW_PX = 52;
const LIST_PX = 260;

export function UploadTray() {
  const uploads = useUploads();
  const state = useUploadState();
  const [isOpen, setOpen] = useState(true);
  const [scrollTop, setScrollTop] = useState(0);
  const totals = countTotals(state);
  const question = findQuestion(state);
  const isPaused = state.items.some(({ phase }) => phase === "paused");
  const isMoving = state.items.some(({ phase }) => phase === "sending" || phase === "waiting" || phase === "retrying");
  const percent = totals.bytes > 0 ? Math.floor((100 * totals.sentBytes) / totals.bytes) : totals.open === 0 ? 100 : 0;
  const title = totals.open > 0 ? `Uploading ${totals.done + 1 > totals.all ? totals.all : totals.done + 1} of ${totals.all}` : totals.failed > 0 ? `${totals.failed} of ${totals.all} not uploaded` : `${totals.done} uploaded`;
  const figures = totals.open > 0 ? [`${formatBytes(totals.sentBytes)} of ${formatBytes(totals.bytes)}`, state.rate !== null ? `${formatBytes(Math.round(state.rate))}/s` : null, totals.leftS !== null ? `${formatDuration(totals.leftS * 1000)} left` : null].filter(Boolean).join(" · ") : formatBytes(totals.sentBytes);
  // What needs somebody stands first, then what moves, then what waits, then what is done.
  const items = [...state.items].sort((a, b) => rankOf(a) - rankOf(b) || a.id - b.id);
  const [first, end] = rowsInView(scrollTop, LIST_PX, ROW_PX, items.length, 4);
  return (
    <>
      <Paper className={classes["tray"] ?? ""} shadow="md" p={0} component="section" aria-label="Uploads" data-testid="uploads">
        <div className={classes["top"]}>
          <Group justify="space-between" wrap="nowrap" gap="xs">
            <Text size="sm" fw={600} role="status" data-testid="uploads-title">{title}</Text>
            <Group gap={4} wrap="nowrap">
              {isMoving && <Button size="compact-xs" variant="default" onClick={() => uploads.tell({ type: "pause", id: null })}>Pause</Button>}
              {!isMoving && isPaused && <Button size="compact-xs" variant="default" onClick={() => uploads.tell({ type: "resume", id: null })}>Resume</Button>}
              {totals.open > 0 && <Button size="compact-xs" variant="default" onClick={() => uploads.tell({ type: "cancel", id: null })}>Cancel all</Button>}
              <ActionIcon variant="subtle" color="gray" size="sm" aria-expanded={isOpen} aria-label={isOpen ? "Show less of the uploads" : "Show the uploads"} onClick={() => setOpen(!isOpen)}>{isOpen ? "▾" : "▴"}</ActionIcon>
              {totals.open === 0 && <CloseButton size="sm" aria-label="Close the uploads" onClick={() => uploads.tell({ type: "cleared" })} />}
            </Group>
          </Group>
          <Progress value={percent} size="sm" mt={6} color={totals.failed > 0 ? "orange" : totals.open === 0 ? "teal" : "indigo"} aria-label={`Uploads: ${percent} %`} transitionDuration={200} />
          <Text size="xs" c="dimmed" mt={4} className="numbers" data-testid="uploads-figures">{figures}</Text>
        </div>
        {isOpen && (
          <div className={classes["scroll"]} style={{ maxHeight: LIST_PX }} onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)} tabIndex={0} role="group" aria-label="Files that are uploaded">
            <ul className={classes["rows"]} style={{ height: items.length * ROW_PX }}>
              {items.slice(first, end).map((item, index) => <Row key={item.id} item={item} top={(first + index) * ROW_PX} />)}
            </ul>
          </div>
        )}
      </Paper>
      {question && <ConflictDialog names={question.items.map(({ path }) => path)} onChoose={(choice) => uploads.tell({ type: "answered", batch: question.batch, choice })} onCancel={() => question.items.forEach(({ id }) => uploads.tell({ type: "cancel", id }))} />}
    </>
  );
}

const RANKS: Readonly<Record<Item["phase"], number>> = { asking: 0, failed: 0, retrying: 1, sending: 1, paused: 2, waiting: 3, done: 4, skipped: 5, cancelled: 5 };

function rankOf({ phase }: Item): number {
  return RANKS[phase];
}

function Row({ item, top }: { item: Item; top: number }) {
  const uploads = useUploads();
  const name = showName(nameOf(item.path));
  const { text, tone } = describeItem(item);
  const folder = `/containers/${item.vmid}/files${renderAddress({ root: item.root, path: parentOf(item.path), open: null, line: null })}`;
  const percent = item.size > 0 ? (100 * item.sent) / item.size : hasEnded(item) ? 100 : 0;
  return (
    <li className={classes["row"]} style={{ transform: `translateY(${top}px)` }} data-testid={`upload-${item.path}`} data-phase={item.phase}>
      <div className={classes["what"]}>
        <Text size="xs" truncate><Link to={folder} className={classes["link"] ?? ""} title={showName(item.path)}><bdi>{name}</bdi></Link></Text>
        {item.phase === "sending" || item.phase === "paused" ? <Progress value={percent} size={3} my={3} color={item.phase === "paused" ? "gray" : "indigo"} aria-label={`${name}: ${Math.floor(percent)} %`} /> : null}
        <Text size="xs" c={tone === "bad" ? "red" : tone === "warn" ? "orange" : "dimmed"} truncate title={text}>{text}</Text>
      </div>
      {(item.phase === "sending" || item.phase === "waiting" || item.phase === "retrying") && <ActionIcon variant="subtle" color="gray" size="sm" aria-label={`Pause ${name}`} onClick={() => uploads.tell({ type: "pause", id: item.id })}>❚❚</ActionIcon>}
      {item.phase === "paused" && <ActionIcon variant="subtle" color="gray" size="sm" aria-label={`Resume ${name}`} onClick={() => uploads.tell({ type: "resume", id: item.id })}>▶</ActionIcon>}
      {item.phase === "retrying" && <Button size="compact-xs" variant="subtle" aria-label={`Try ${name} now`} onClick={() => uploads.tell({ type: "resume", id: item.id })}>Now</Button>}
      {item.phase === "failed" && <Button size="compact-xs" variant="subtle" aria-label={`Try ${name} again`} onClick={() => uploads.tell({ type: "again", id: item.id })}>Again</Button>}
      {!hasEnded(item) && <CloseButton size="sm" aria-label={`Cancel ${name}`} onClick={() => uploads.tell({ type: "cancel", id: item.id })} />}
    </li>
  );
}

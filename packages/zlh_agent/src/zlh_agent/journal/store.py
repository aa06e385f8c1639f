"""The journal on disk: one line an entry, appended; written anew when it has grown to twice what is kept.

An entry is in the file when `append` returns: it outlives the agent, whenever that is killed. It outlives the machine
only after `sync`, and nobody outside is told of it before: a number that was told never comes again for something else.
A disk that refuses stops nobody: what is not in the file waits in memory, as much of it as is kept at all.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path

import structlog

from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.rules import Head, JournalCorrupt, Read, is_told, make_happening, parse_file, render_line
from zlh_common.durable_files import sync_folder
from zlh_common.schema.history import Happening

log = structlog.get_logger()
MAX_ENTRIES = 1000
MAX_BYTES = 1024 * 1024
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class JournalStore:
    """One file. It blocks, and may be called from any thread; `open` first, `close` at last."""

    def __init__(self, path: Path, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        # Held for moments only. Whoever waits for the disk holds the other one.
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._fd = -1
        self._is_closed = False
        # Whether the file's name outlives the machine.
        self._is_named = False
        self._size = 0
        self._lines = 0
        # The newest entries and the lengths of their lines.
        self._kept: deque[tuple[Happening, int]] = deque()
        self._kept_bytes = 0
        # The newest number that was given, that is in the file, and that outlives the machine.
        self._given = self._written = self._synced = 0
        self.id = secrets.token_hex(16)

    def open(self) -> None:
        """Take up the file of a former agent; what cannot be read is set aside, and another journal begins."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            read = self._read()
            if read is None:
                self._begin()
            else:
                self._take_up(read)
        except OSError as error:
            log.warning("journal.not_opened", path=str(self._path), error=str(error))

    def _read(self) -> Read | None:
        try:
            return parse_file(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except JournalCorrupt as error:
            log.warning("journal.set_aside", path=str(self._path), error=str(error))
            self._path.replace(self._path.with_suffix(".corrupt"))
            return None

    def _begin(self) -> None:
        head = render_line(Head(self.id, 1))
        fd = os.open(self._path, _APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(fd, head)
        except OSError:
            # Without its head it is none; the first sync makes another.
            os.close(fd)
            raise
        self._fd, self._size = fd, len(head)

    def _take_up(self, read: Read) -> None:
        self.id = read.head.journal
        for entry in read.entries:
            self._keep(entry)
        self._given = self._written = read.next_number - 1
        self._fd = os.open(self._path, _APPEND)
        # The torn end of one who was killed while writing.
        os.ftruncate(self._fd, read.whole_bytes)
        self._size, self._lines = read.whole_bytes, len(read.entries)

    def append(self, occurrences: Sequence[Occurrence], now: datetime) -> None:
        """Write down what happened at once: all of it, or nothing where some of it was written before."""
        with self._lock:
            if any(is_told(occurrence, (entry for entry, _ in reversed(self._kept))) for occurrence in occurrences):
                return
            for occurrence in occurrences:
                self._given += 1
                self._keep(make_happening(occurrence, self._given, now))
            self._write()

    def _keep(self, entry: Happening) -> None:
        length = len(render_line(entry))
        self._kept.append((entry, length))
        self._kept_bytes += length
        while len(self._kept) > self._max_entries or self._kept_bytes > self._max_bytes:
            _, gone = self._kept.popleft()
            self._kept_bytes -= gone

    def _write(self) -> None:
        waiting = self._after(self._written)
        if not waiting or self._must_rewrite():
            return
        lines = b"".join(map(render_line, waiting))
        try:
            written = os.write(self._fd, lines)
            if written < len(lines):
                # Half a line in the middle would spoil the file.
                os.ftruncate(self._fd, self._size)
                return
        except OSError as error:
            log.warning("journal.not_written", error=str(error), waiting=len(waiting))
            return
        self._size += written
        self._lines += len(waiting)
        self._written = waiting[-1].number

    def _after(self, number: int) -> list[Happening]:
        newer = takewhile(lambda pair: pair[0].number > number, reversed(self._kept))
        return [entry for entry, _ in newer][::-1]

    def _must_rewrite(self) -> bool:
        """Tell whether lines can no longer be appended: there is no file, or the next line is kept no more."""
        return self._fd < 0 or self._kept[0][0].number > self._written + 1 if self._kept else self._fd < 0

    def sync(self) -> None:
        """Make everything outlive the machine, and the file small again. Raises OSError."""
        with self._syncing:
            with self._lock:
                if self._is_closed:
                    return
                self._write()
                is_long = self._lines > 2 * self._max_entries or self._size > 2 * self._max_bytes
                rewrites = is_long or self._must_rewrite()
            if rewrites:
                self._rewrite()
            newest = self._written
            os.fsync(self._fd)
            if not self._is_named:
                sync_folder(self._path.parent)
                self._is_named = True
            self._synced = newest

    def _rewrite(self) -> None:
        """Put a file in place that holds only what is kept. What happens meanwhile waits for nothing but the rename."""
        fresh = self._path.with_suffix(".new")
        with self._lock:
            entries = [entry for entry, _ in self._kept]
        first = entries[0].number if entries else self._given + 1
        last = entries[-1].number if entries else self._given
        content = render_line(Head(self.id, first)) + b"".join(map(render_line, entries))
        fd = os.open(fresh, _APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(fd, content)
            os.fsync(fd)
            with self._lock:
                late = self._after(last)
                more = b"".join(map(render_line, late))
                _write_all(fd, more)
                fresh.replace(self._path)
                fd, self._fd = self._fd, fd
                self._size, self._lines = len(content) + len(more), len(entries) + len(late)
                self._written = late[-1].number if late else last
                self._is_named = False
        finally:
            if fd >= 0:
                os.close(fd)

    def read_after(self, number: int, limit: int) -> list[Happening]:
        """Return up to `limit` entries after `number` that outlive the machine, oldest first."""
        with self._lock:
            return [entry for entry in self._after(number) if entry.number <= self._synced][:limit]

    def has_unsynced(self) -> bool:
        """Tell whether there is something that does not outlive the machine yet."""
        return self._given > self._synced

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        with self._syncing, self._lock:
            self._is_closed = True
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

"""Looking for files by their names, and for a text in them: below an open folder and through no link."""

from __future__ import annotations

import os
import stat
import time

from zlh_agent.files import files_wire as wire
from zlh_agent.files.content import require_regular
from zlh_agent.files.entries import entry_of, target_of
from zlh_agent.files.model import LINK, Answer
from zlh_agent.files.refusals import Refused
from zlh_agent.files.search_rules import (
    BINARY_BYTES,
    LONGEST_S,
    MAX_FILE_BYTES,
    MAX_FOUND_BYTES,
    Needle,
    cut_line,
    name_matches,
)
from zlh_agent.files.walk import ENTERED, FOUND, LEFT, Walk, code_of, open_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zlh_agent.files.walk import Step
    from zlh_agent.files.work import Work

BY_LIMIT, BY_TIME = "limit", "time"
_BLOCK_BYTES = 1024 * 1024
# The lines of one file that go into one message.
_MESSAGE_BYTES = 96 * 1024


class Sought:
    """What is looked for; one of name and text at least. `limit` counts lines, or files where no text is sought."""

    __slots__ = ("limit", "match_case", "name", "text")

    def __init__(self, *, name: str, text: str, match_case: bool, limit: int) -> None:
        self.name = name
        self.text = text
        self.match_case = match_case
        self.limit = limit


class _Stop(Exception):
    """There is as much as may be; says of what."""


def search_tree(
    folder: int, sought: Sought, *, tell: Callable[[Answer], None], work: Work, longest_s: float = LONGEST_S
) -> str:
    """Tell all that is found, as answers of kind FOUND in the order of paths; return what stopped it, or nothing."""
    search = _Search(folder, sought, tell, work, time.monotonic() + longest_s)
    try:
        search.run()
    except _Stop as stop:
        return str(stop)
    finally:
        search.close()
    return ""


class _Search:
    def __init__(self, folder: int, sought: Sought, tell: Callable[[Answer], None], work: Work, until: float) -> None:
        self._walk = Walk(folder)
        self._sought = sought
        self._needle = Needle(sought.text, match_case=sought.match_case) if sought.text else None
        self._tell = tell
        self._work = work
        self._until = until
        self._found = 0
        self._found_bytes = 0

    def close(self) -> None:
        self._walk.close()

    def run(self) -> None:
        for step in self._walk.steps():
            self._watch_time()
            if step.kind in {ENTERED, FOUND}:
                self._look_at(step)
            elif step.kind != LEFT:
                self._work.skip(self._walk.where(step.name), step.code)

    def _look_at(self, step: Step) -> None:
        if step.kind == ENTERED and step.depth == 0:
            return
        is_folder = step.kind == ENTERED
        self._work.count(files=not is_folder, folders=is_folder)
        wanted = self._sought.name
        if wanted and not name_matches(os.fsdecode(step.name), wanted, match_case=self._sought.match_case):
            return
        path = self._walk.where() if is_folder else self._walk.where(step.name)
        if self._needle is None:
            self._take(path, step, [])
        elif step.status is not None and stat.S_ISREG(step.status.st_mode):
            self._look_into(path, step, self._needle)

    def _look_into(self, path: bytes, step: Step, needle: Needle) -> None:
        try:
            fd = open_found(step)
        except FileNotFoundError:
            return
        except (OSError, Refused) as exc:
            self._work.skip(path, code_of(exc))
            return
        try:
            require_regular(fd)
            self._find_lines(fd, path, step, needle)
        except (OSError, Refused) as exc:
            self._work.skip(path, code_of(exc))
        finally:
            os.close(fd)

    def _find_lines(self, fd: int, path: bytes, step: Step, needle: Needle) -> None:
        lines: list[tuple[int, bytes]] = []
        size = 0
        try:
            for number, piece in _pieces(fd, needle.overlap_bytes):
                self._watch_time()
                for found, line in _lines_in(piece, number, needle):
                    if lines and lines[-1][0] == found:
                        continue  # another piece of the same long line
                    self._require_room(len(lines))
                    lines.append((found, line))
                    size += len(line)
                    if size > _MESSAGE_BYTES:
                        self._take(path, step, lines)
                        lines, size = [], 0
        finally:
            if lines:
                self._take(path, step, lines)

    def _require_room(self, waiting: int) -> None:
        if self._found + waiting >= self._sought.limit:
            raise _Stop(BY_LIMIT)

    def _take(self, path: bytes, step: Step, lines: list[tuple[int, bytes]]) -> None:
        assert step.status is not None
        if not lines:
            self._require_room(0)
        self._found_bytes += len(path) + sum(len(line) for _, line in lines)
        if self._found_bytes > MAX_FOUND_BYTES:
            raise _Stop(BY_LIMIT)
        entry = entry_of(step.name, step.status)
        if entry.kind == LINK:
            entry.target = target_of(step.fd, step.name)
        self._found += len(lines) or 1
        self._tell(Answer(wire.FOUND, where=path, entries=[entry], lines=lines))

    def _watch_time(self) -> None:
        if time.monotonic() > self._until:
            raise _Stop(BY_TIME)


def _pieces(fd: int, overlap_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Return a file in pieces of whole lines, each with the number of its first line; nothing of what is no text.

    A line that is longer than a piece comes in several, which overlap.
    """
    number = 1
    rest = b""
    left = MAX_FILE_BYTES
    while left > 0 and (block := os.read(fd, min(_BLOCK_BYTES, left))):
        if left == MAX_FILE_BYTES and b"\0" in block[:BINARY_BYTES]:
            return
        left -= len(block)
        piece = rest + block
        end = piece.rfind(b"\n") + 1
        if end:
            yield number, piece[:end]
            number += piece.count(b"\n", 0, end)
            rest = piece[end:]
        elif len(piece) >= _BLOCK_BYTES:
            yield number, piece
            rest = piece[-overlap_bytes:]
        else:
            rest = piece
    if rest:
        yield number, rest


def _lines_in(piece: bytes, number: int, needle: Needle) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a piece that hold it, with their numbers."""
    if needle.find_in(piece) < 0:
        return
    for count, line in enumerate(piece.split(b"\n")):
        at = needle.find_in(line)
        if at >= 0:
            yield number + count, cut_line(line, at)

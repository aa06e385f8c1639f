"""A container's files for the rest of the agent: each call in a child that is confined to them, never in the agent.

A child serves one piece of work at a time, so a long one holds nobody up; there are a few at most, and one that has
had nothing to do for a while ends. Nothing of this is reachable from outside yet: routes, uploads and archives are
built on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zlh_agent.files.files_wire import encode_name
from zlh_agent.files.link import SYNC_SILENCE_S, FileLink, FilePlace
from zlh_agent.files.model import KEEP, Entry, Request
from zlh_agent.files.rules import MAX_PAGE_ENTRIES, MAX_PATH_BYTES
from zlh_common.schema.file_refusals import FileRefused, FilesBusy, FilesUnavailable

MAX_CHILDREN = 8
IDLE_S = 30.0
WAIT_FOR_CHILD_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a folder by name; the next page begins after the last of them."""

    entries: tuple[Entry, ...]
    has_more: bool


class Files:
    """The files below one root, by way of one child that somebody has borrowed. Paths are relative to the root.

    Every call raises FileRefused where the answer is no, FilesUnavailable where there is none.
    """

    def __init__(self, link: FileLink) -> None:
        self._link = link

    @property
    def landlock_abi(self) -> int:
        """The ABI of Landlock that holds the child, 0 for none."""
        return self._link.landlock_abi

    async def stat(self, path: str, *, follow: bool = False) -> Entry:
        """Return what is at the path; a link is not followed unless it is asked for."""
        return await self._entry(Request("stat", _encode(path), flag=follow))

    async def list_folder(self, path: str, *, after: str = "", limit: int = MAX_PAGE_ENTRIES) -> Page:
        """Return the entries whose names come after one, in order of their code points."""
        limit = max(1, min(limit, MAX_PAGE_ENTRIES))
        request = Request("list", _encode(path), other=_encode(after), number=limit)
        answer = await self._link.call(request)
        names = [after, *(entry.name for entry in answer.entries)]
        if len(answer.entries) > limit or any(a >= b for a, b in itertools.pairwise(names)):
            raise self._link.distrust("lists a folder out of order")
        if answer.has_more and not answer.entries:
            raise self._link.distrust("lists a folder without an end")
        return Page(answer.entries, answer.has_more)

    async def open_to_read(self, path: str) -> tuple[int, Entry]:
        """Return a descriptor of a regular file, which the caller closes, and what it was when it was opened."""
        fd, answer = await self._link.open(Request("read", _encode(path)), access=os.O_RDONLY)
        if len(answer.entries) != 1:
            os.close(fd)
            raise self._link.distrust("opened a file without a word about it")
        return fd, answer.entries[0]

    async def open_to_append(self, path: str, *, offset: int) -> int:
        """Return a descriptor of a file that is cut to `offset` and stands there; the caller closes it.

        It is made where the offset is 0; one that is shorter has changed.
        """
        fd, _ = await self._link.open(Request("append", _encode(path), number=offset), access=os.O_WRONLY)
        return fd

    @asynccontextmanager
    async def writing(self, path: str, *, replace: bool, expected: str | None = None) -> AsyncIterator[int]:
        """Lend a descriptor to write a whole file to; it stands at the path once the block ends well.

        Nobody sees it before, and a block that fails leaves what was there. With `expected`, only this version is
        replaced. No other call may be made in the block.
        """
        other = (expected or "").encode("ascii", "replace")
        fd, _ = await self._link.open(Request("begin", _encode(path), other=other, flag=replace), access=os.O_WRONLY)
        try:
            try:
                yield fd
            finally:
                os.close(fd)
        except BaseException:
            with contextlib.suppress(FilesUnavailable):
                await self._link.call(Request("abandon", b""))
            raise
        await self._link.call(Request("finish", _encode(path)), silence_s=SYNC_SILENCE_S)

    async def copy(self, source: str, target: str, *, replace: bool = False) -> None:
        """Copy one regular file."""
        request = Request("copy", _encode(source), other=_encode(target), flag=replace)
        await self._link.call(request, silence_s=SYNC_SILENCE_S)

    async def make_folder(self, path: str, *, parents: bool = False) -> None:
        """Make a folder; with `parents` those above it too, and one that is there is as good."""
        await self._link.call(Request("make-folder", _encode(path), flag=parents))

    async def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link, which may lead to a relative place inside."""
        await self._link.call(Request("make-link", _encode(path), other=_encode(target)))

    async def move(self, source: str, target: str, *, how: int = KEEP) -> None:
        """Rename or move; `how` says what becomes of what stands at the target: KEEP, REPLACE or EXCHANGE."""
        await self._link.call(Request("move", _encode(source), other=_encode(target), number=how))

    async def remove(self, path: str) -> None:
        """Remove a file, a link or an empty folder."""
        await self._link.call(Request("remove", _encode(path)))

    async def remove_tree(self, path: str) -> None:
        """Remove something with all that is in it."""
        await self._link.call(Request("remove-tree", _encode(path)))

    async def change_mode(self, path: str, mode: int) -> None:
        """Set the rights of a file or folder."""
        await self._link.call(Request("change-mode", _encode(path), number=mode))

    async def set_times(self, path: str, *, modified_ns: int) -> None:
        """Set when something was last modified."""
        await self._link.call(Request("set-times", _encode(path), number=modified_ns))

    async def _entry(self, request: Request) -> Entry:
        answer = await self._link.call(request)
        if len(answer.entries) != 1:
            raise self._link.distrust("answers something else than was asked")
        return answer.entries[0]


class FileService:
    """Lends children of one place, and ends them."""

    def __init__(self, place: FilePlace, *, idle_s: float = IDLE_S, limit: int = MAX_CHILDREN) -> None:
        self._place = place
        self._idle_s = idle_s
        self._limit = limit
        self._seats = asyncio.Semaphore(limit)
        self._idle: list[tuple[FileLink, asyncio.TimerHandle]] = []
        # Children that are on their way out, which nobody waits for.
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Files]:
        """Lend the files by way of a child that nobody else uses meanwhile.

        Raises FilesBusy where there are as many as may be, FilesNotSafe or FilesUnavailable where none can be had.
        """
        try:
            async with asyncio.timeout(WAIT_FOR_CHILD_S):
                await self._seats.acquire()
        except TimeoutError as exc:
            raise FilesBusy(limit=self._limit) from exc
        try:
            link = await self._take_idle() or await FileLink.start(self._place)
            try:
                yield Files(link)
            finally:
                self._give_back(link)
        finally:
            self._seats.release()

    async def close(self) -> None:
        """End all children; one that is borrowed ends when it is given back."""
        self._is_closed = True
        while self._idle:
            link, timer = self._idle.pop()
            timer.cancel()
            self._end_beside(link)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _take_idle(self) -> FileLink | None:
        while self._idle:
            link, timer = self._idle.pop()
            timer.cancel()
            is_current = False
            try:
                is_current = await link.is_current()
            finally:
                if not is_current:
                    self._end_beside(link)
            if is_current:
                return link
        return None

    def _give_back(self, link: FileLink) -> None:
        if self._is_closed or not link.is_usable:
            self._end_beside(link)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle, link)
        self._idle.append((link, timer))

    def _end_idle(self, link: FileLink) -> None:
        self._idle = [(held, timer) for held, timer in self._idle if held is not link]
        self._end_beside(link)

    def _end_beside(self, link: FileLink) -> None:
        task = asyncio.create_task(link.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _encode(path: str) -> bytes:
    try:
        raw = encode_name(path)
    except ValueError as exc:
        raise FileRefused("path_invalid", path=path) from exc
    if len(raw) > MAX_PATH_BYTES:
        raise FileRefused("name_too_long", path=path)
    return raw

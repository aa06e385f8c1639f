"""Hidden files beside their targets, and the records that know of them: begun, gone on with, put in place, taken away.

A record is on disk before its file is, and goes after it, so an agent that dies at any line leaves nothing unknown.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import structlog

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.model import FILE, FOLDER, Entry
from zlh_agent.files.refusals import own_disk_code, refusal_of
from zlh_agent.files.roots import Roots
from zlh_agent.files.service import Files
from zlh_agent.uploads.model import UploadRecord
from zlh_agent.uploads.store import UploadStore
from zlh_common.errors import ZlhError
from zlh_common.file_names import text_to_name
from zlh_common.schema.file_refusals import (
    FileHashWrong,
    FileRefused,
    FileRootUnknown,
    FilesUnavailable,
    NoRoomOnDisk,
    UploadNotFound,
)

log = structlog.get_logger()
# Of a file that is new, where nothing is said.
NEW_MODE = 0o644
# What the smallest file takes of a disk, with its name in a folder.
_LEAST_BYTES = 2 * 4096
_GONE = {"path_not_found", "not_a_folder"}
# What could not be removed yet. A customer who shuts their folder away would else have us keep records without end.
MAX_STALE = 200


class Partials:
    """The files of uploads that are not whole yet."""

    def __init__(self, roots: Roots, store: UploadStore, threads: ThreadPoolExecutor) -> None:
        self._roots = roots
        self._store = store
        self._threads = threads
        self._stale: list[UploadRecord] = []

    async def load(self) -> list[UploadRecord]:
        """Return what an agent before us has left."""
        return await asyncio.to_thread(self._store.load)

    async def save(self, record: UploadRecord) -> None:
        """Write a record down; raises FileRefused where the agent's own disk does not take it."""
        try:
            await asyncio.to_thread(self._store.save, record)
        except OSError as exc:
            raise FileRefused(own_disk_code(exc), path=record.path) from exc

    async def begin(self, record: UploadRecord, *, parents: bool) -> HeldFile:
        """Return a new file, which the caller closes, once there is room for it; nothing is left where that fails."""
        if len(self._stale) >= MAX_STALE:
            raise FilesUnavailable(reason=f"what {MAX_STALE} uploads have left cannot be removed at the moment")
        may_be_left = False
        try:
            # Nothing is written down before there is somebody who can take the file away again.
            async with self.borrow(record.root) as files:
                may_be_left = True
                await self.save(record)
                file = HeldFile(self._threads, await _make(files, record, parents=parents))
            try:
                await self._require_room(file, record)
            except BaseException:
                file.close()
                raise
        except FileRefused as refused:
            if may_be_left:
                await asyncio.shield(self.discard(record))
            raise await self._lack(record, refused) from refused
        except BaseException:
            if may_be_left:
                await asyncio.shield(self.discard(record))
            raise
        return file

    async def _lack(self, record: UploadRecord, refused: FileRefused) -> ZlhError:
        """Return NoRoomOnDisk where the files' disk is full by what it tells of itself, else what was refused."""
        if refused.code != "disk_full":
            return refused
        async with self.borrow(record.root) as files:
            room = await files.room()
        wanted = record.size or 0
        if room.free_files == 0:
            return NoRoomOnDisk(path=record.path, wanted_bytes=wanted, free_bytes=room.free_bytes, free_files=0)
        if room.free_bytes < max(wanted, _LEAST_BYTES):
            return NoRoomOnDisk(path=record.path, wanted_bytes=wanted, free_bytes=room.free_bytes)
        return refused

    async def _require_room(self, file: HeldFile, record: UploadRecord) -> None:
        """Raise NoRoomOnDisk, by the disk that the file is really on; what is not announced is taken as it comes."""
        try:
            room = await file.begin(os.fstatvfs)
        except OSError as exc:
            raise FileRefused(refusal_of(exc).code, path=record.path) from exc
        free, wanted = room.f_bavail * room.f_frsize, record.size or 0
        if wanted > free:
            raise NoRoomOnDisk(path=record.path, wanted_bytes=wanted, free_bytes=free)

    async def open(self, record: UploadRecord, offset: int) -> HeldFile:
        """Return the file, cut to where it goes on; the caller closes it."""
        async with self.borrow(record.root) as files:
            return HeldFile(self._threads, await files.open_to_append(text_to_name(record.partial), offset=offset))

    async def size(self, record: UploadRecord) -> int | None:
        """Return how much has come; None where the file is gone."""
        async with self.borrow(record.root) as files:
            entry = await _look(files, text_to_name(record.partial))
        if entry is None:
            return None
        if entry.kind != FILE:
            raise FileRefused("is_a_link" if entry.target is not None else "not_a_regular_file", path=record.partial)
        counted = entry.size if record.unchecked_from is None else min(entry.size, record.unchecked_from)
        if record.size is not None and counted > record.size:
            raise FileRefused("file_changed", path=record.path)
        return counted

    async def put_in_place(self, record: UploadRecord, size: int) -> tuple[Entry, bool]:
        """Give the file its name; return what it is then, and whether something stood there before.

        The record stays, and is the caller's to change or forget. Raises UploadNotFound where the file is gone,
        FileRefused.
        """
        async with self.borrow(record.root) as files:
            entry = await _look(files, text_to_name(record.partial))
            if entry is None:
                raise UploadNotFound
            if entry.kind != FILE or entry.size != size:
                raise FileRefused("file_changed", path=record.path)
            with _told_of(record):
                return await files.put_in_place(
                    text_to_name(record.partial),
                    text_to_name(record.path),
                    size=size,
                    replace=record.replace,
                    expected=record.expected,
                    mode=record.mode if record.mode is not None else NEW_MODE,
                    modified_ns=record.modified_ns,
                )

    async def is_in_place(self, record: UploadRecord) -> bool:
        """Tell whether the file at the target is the very one that the bytes went to."""
        if record.inode is None:
            return False
        async with self.borrow(record.root) as files:
            try:
                entry = await files.stat(text_to_name(record.path), follow=True)
            except FileRefused:
                return False
        return entry.kind == FILE and (entry.inode, entry.size) == (record.inode, record.size)

    async def forget(self, record: UploadRecord) -> None:
        """Remove the record, and no file."""
        await asyncio.to_thread(self._store.forget, record.id)

    async def require_hash(self, record: UploadRecord) -> None:
        """Raise FileHashWrong where a hash was announced and the file has another."""
        if record.sha256 is None:
            return
        async with self.borrow(record.root) as files:
            found = await files.checksum(text_to_name(record.partial))
        if found != record.sha256:
            raise FileHashWrong(path=record.path, wanted=record.sha256, found=found)

    def leave(self, record: UploadRecord) -> None:
        """Have `sweep` remove the file and the record."""
        self._stale.append(record)

    async def sweep(self) -> None:
        """Remove what could not be removed before."""
        stale, self._stale = self._stale, []
        for record in stale:
            await self.discard(record)

    async def discard(self, record: UploadRecord) -> None:
        """Remove the file and the record; where the files cannot be had at the moment, `sweep` tries again."""
        try:
            async with self.borrow(record.root) as files:
                await files.remove_if_there(text_to_name(record.partial))
        except FileRootUnknown:
            pass  # nobody can get there any more
        except FileRefused as refused:
            if refused.code not in _GONE:
                log.warning("upload.partial_stays", path=record.partial, code=refused.code)
        except ZlhError as error:
            log.warning("upload.partial_stays", path=record.partial, code=error.code)
            self.leave(record)
            return
        await asyncio.to_thread(self._store.forget, record.id)

    @asynccontextmanager
    async def borrow(self, root: str) -> AsyncIterator[Files]:
        """Lend the files of a root."""
        async with self._roots.service(self._roots.choose(root)).borrow() as files:
            yield files


async def _make(files: Files, record: UploadRecord, *, parents: bool) -> int:
    partial = text_to_name(record.partial)
    with _told_of(record):
        await files.make_partial(partial, parents=parents)
        return await files.open_to_append(partial, offset=0)


@contextmanager
def _told_of(record: UploadRecord) -> Iterator[None]:
    """Have refusals tell of the path that was asked for: of the hidden one beside it nobody has heard."""
    try:
        yield
    except FileRefused as refused:
        raise FileRefused(refused.code, path=record.path) from refused


async def _look(files: Files, path: str) -> Entry | None:
    try:
        return await files.stat(path)
    except FileRefused as refused:
        if refused.code in _GONE:
            return None
        raise


async def look_again(files: Files, path: str, *, replace: bool, expected: str | None) -> Entry | None:
    """Return what the target leads to, None where nothing is; raise FileRefused where that must stay."""
    try:
        before = await files.stat(path, follow=True)
    except FileRefused as refused:
        if refused.code not in _GONE:
            raise
        if expected is not None:
            raise FileRefused("file_changed", path=path) from None
        return None
    if before.kind != FILE:
        raise FileRefused("is_a_folder" if before.kind == FOLDER else "not_a_regular_file", path=path)
    if not replace:
        raise FileRefused("file_exists", path=path)
    if expected is not None and before.version != expected:
        raise FileRefused("file_changed", path=path)
    return before

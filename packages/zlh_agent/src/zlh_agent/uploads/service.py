"""Uploads that can be gone on with: begun, sent in pieces, put in place by the last, given up, and swept when old.

begin ──► append … append ──► the last byte ──► hash ──► in place
             │ cut, stalled, disk full: what came is kept, and counts
What is in place is remembered for an hour, on disk too: a client that did not hear the last answer asks, and is told.
One at a time is at an upload. Who comes later cuts off who sends, so a dead connection holds nobody up; nobody
interrupts what has begun to be put in place.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from zlh_agent.files.blocks import Blocks
from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.roots import Roots
from zlh_agent.uploads.apart import Apart
from zlh_agent.uploads.bodies import OpenBody
from zlh_agent.uploads.model import Asked, PieceChecksum, UploadRecord
from zlh_agent.uploads.partials import Partials
from zlh_agent.uploads.receiving import BodyCut, Sink, receive
from zlh_agent.uploads.rules import KEPT_FOR, begin_record, end_record, is_over
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import (
    FileHashWrong,
    FileRefused,
    UploadBusy,
    UploadInvalid,
    UploadLimit,
    UploadNotFound,
    UploadOffsetWrong,
    UploadPieceWrong,
)
from zlh_common.schema.files import FileUpload

log = structlog.get_logger()
SILENCE_S = 60.0
MAX_UPLOADS = 200
SWEEP_S = 60.0
# Who puts a file in place is waited for so long.
BUSY_S = 10.0
# How many that have ended are remembered, for clients that did not hear the last answer.
MAX_ENDED = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is."""

    record: UploadRecord
    offset: int
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """What comes for an upload, and from where on."""

    offset: int
    open_body: OpenBody
    checksum: PieceChecksum | None


@dataclass(slots=True)
class _Turn:
    """Who is at an upload."""

    work: asyncio.Task[Any] | None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    may_be_cut: bool = False
    is_cut: bool = False

    def cut(self) -> None:
        if self.may_be_cut and not self.is_cut and self.work is not None:
            self.is_cut = True
            self.work.cancel()


class UploadService:
    """The uploads of one container."""

    def __init__(
        self, roots: Roots, partials: Partials, clock: Clock, blocks: Blocks, *, silence_s: float = SILENCE_S
    ) -> None:
        self._roots = roots
        self._blocks = blocks
        self._partials = partials
        self._clock = clock
        self._silence_s = silence_s
        self._records: dict[str, UploadRecord] = {}
        self._beginning = 0
        self._turns: dict[str, _Turn] = {}
        self._ended: dict[str, Progress] = {}
        # Uploads of an agent before us of which nobody has looked yet what they are by now.
        self._left: list[str] = []
        self._apart = Apart()

    async def load(self) -> None:
        """Take up what an agent before us has left; call before anything else."""
        for record in sorted(await self._partials.load(), key=lambda record: record.expires_at):
            if record.kind != "tus":
                self._partials.leave(record)
            elif record.is_whole:
                self._ended[record.id] = Progress(record, record.size or 0, is_whole=True)
            else:
                self._records[record.id] = record
        self._left = [*self._records]

    async def run(self) -> None:
        """Remove what is stale or over, for ever."""
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Remove what nobody can go on with, and what nobody has gone on with for long."""
        await self._partials.sweep()
        self._left = [upload_id for upload_id in self._left if not await self._is_known(upload_id)]
        for record in [*self._records.values()]:
            if is_over(record, self._clock.now()) and record.id not in self._turns:
                await self._drop(record)
        for ended in [*self._ended.values()]:
            if is_over(ended.record, self._clock.now()):
                await self._forget_ended(ended.record)

    async def close(self) -> None:
        """End all that is under way; what has come is kept."""
        for turn in self._turns.values():
            turn.cut()
        await self._apart.close()

    async def rows(self) -> list[FileUpload]:
        """Return those that are not whole, oldest first."""
        found = []
        for record in [*self._records.values()]:
            try:
                offset = await self._partials.size(record)
            except ZlhError:
                continue
            if offset is not None:
                found.append(_show(record, offset))
        return found

    async def begin(self, asked: Asked, open_body: OpenBody | None, checksum: PieceChecksum | None) -> Progress:
        """Begin an upload, with its first bytes where they come along; one of no bytes is whole at once."""
        return await self._apart.run(self._begin(asked, open_body, checksum))

    async def look(self, upload_id: str) -> Progress:
        """Return how far an upload is; whoever sends to it is cut off first, so that the answer holds."""
        return await self._apart.run(self._look(upload_id))

    async def append(
        self, upload_id: str, offset: int, open_body: OpenBody, checksum: PieceChecksum | None, length: int | None
    ) -> Progress:
        """Take a piece that begins at `offset`; the last one puts the file in place."""
        return await self._apart.run(self._append(upload_id, offset, open_body, checksum, length))

    async def give_up(self, upload_id: str) -> None:
        """Remove an upload, and what has come of it."""
        await self._apart.run(self._give_up(upload_id))

    # ── in tasks of their own, which end by themselves when a connection does ──

    async def _begin(self, asked: Asked, open_body: OpenBody | None, checksum: PieceChecksum | None) -> Progress:
        root = self._roots.choose(asked.root).name
        record = begin_record(asked, root, uuid.uuid4().hex, self._clock.now(), is_put=False)
        file = await self._begin_file(record, parents=asked.parents)
        try:
            async with self._turn(record.id) as turn:
                if open_body is None:
                    file.close()
                    return await self._finish_if_whole(record, 0)
                return await self._receive(turn, record, file, _Piece(0, open_body, checksum))
        except BodyCut:
            # Whoever sent it does not know the upload, but may find it in the list.
            raise
        except ZlhError:
            # The client was not told of it, so it cannot go on.
            if record.id in self._records:
                await self._drop(record)
            raise

    async def _begin_file(self, record: UploadRecord, *, parents: bool) -> HeldFile:
        """Return the file of an upload, which is known from then on; raise UploadLimit.

        Those that are still being made count too: each has its place before anything is waited for.
        """
        if len(self._records) + self._beginning >= MAX_UPLOADS:
            raise UploadLimit(limit=MAX_UPLOADS)
        self._beginning += 1
        try:
            file = await self._partials.begin(record, parents=parents)
            self._records[record.id] = record
        finally:
            self._beginning -= 1
        return file

    async def _look(self, upload_id: str) -> Progress:
        async with self._turn(upload_id):
            return await self._progress(upload_id)

    async def _append(
        self, upload_id: str, offset: int, open_body: OpenBody, checksum: PieceChecksum | None, length: int | None
    ) -> Progress:
        async with self._turn(upload_id) as turn:
            progress = await self._progress(upload_id)
            record, held = progress.record, progress.offset
            if offset != held:
                raise UploadOffsetWrong(wanted=held, given=offset)
            if length is not None and record.size is not None and held + length > record.size:
                raise UploadInvalid(reason=f"a piece of {length} bytes at {held} is more than its {record.size} bytes")
            if progress.is_whole:
                return progress
            if checksum is not None:
                record = await self._keep(record, unchecked_from=held)
            file = await self._partials.open(record, held)
            return await self._receive(turn, record, file, _Piece(held, open_body, checksum))

    async def _receive(self, turn: _Turn, record: UploadRecord, file: HeldFile, piece: _Piece) -> Progress:
        checksum = piece.checksum
        sink = Sink(piece.offset, limit=record.size, algorithm=checksum.algorithm if checksum else None)
        try:
            turn.may_be_cut = True
            body = piece.open_body(self._blocks, self._silence_s)
            await receive(body, file, sink, self._blocks, path=record.path)
            inode = (await file.begin(os.fstat)).st_ino
        except asyncio.CancelledError:
            if not turn.is_cut:
                raise
            _forgive()
            raise UploadBusy from None
        finally:
            turn.may_be_cut = False
            file.close()
        # A piece that was cut does not get here: with a checksum it does not count, without one it does.
        if checksum is not None and sink.digest() != checksum.digest:
            raise UploadPieceWrong
        record = await self._keep(msgspec.structs.replace(record, inode=inode), unchecked_from=None)
        return await self._finish_if_whole(record, sink.offset)

    async def _finish_if_whole(self, record: UploadRecord, offset: int) -> Progress:
        if offset != record.size:
            return Progress(record, offset)
        try:
            await self._partials.require_hash(record)
            await self._partials.put_in_place(record, offset)
        except (FileHashWrong, UploadNotFound):
            await self._drop(record)
            raise
        return await self._end(record)

    async def _give_up(self, upload_id: str) -> None:
        async with self._turn(upload_id):
            await self._drop(self._record(upload_id))

    # ── what all of them need ──

    async def _is_known(self, upload_id: str) -> bool:
        """Look what one that was left is by now: under way, in place, or without its file and forgotten here."""
        if upload_id not in self._records or upload_id in self._turns:
            return True
        try:
            await self._apart.run(self._look(upload_id))
        except UploadNotFound:
            return True
        except ZlhError as error:
            log.warning("upload.not_looked_at", upload=upload_id, code=error.code)
            return error.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return True

    async def _progress(self, upload_id: str) -> Progress:
        if upload_id in self._ended:
            return self._ended[upload_id]
        record = self._record(upload_id)
        offset = await self._partials.size(record)
        if offset is not None:
            return Progress(record, offset)
        if await self._partials.is_in_place(record):
            # An agent before us was killed between the rename and its word on it.
            return await self._end(record)
        await self._drop(record)
        raise UploadNotFound

    async def _end(self, record: UploadRecord) -> Progress:
        """Remember an upload that is in place."""
        self._records.pop(record.id, None)
        record = end_record(record, self._clock.now())
        done = self._ended[record.id] = Progress(record, record.size or 0, is_whole=True)
        try:
            await self._partials.save(record)
        except FileRefused as refused:
            # It is known as long as this agent is; the file is in place all the same.
            log.warning("upload.end_not_kept", path=record.path, code=refused.code)
        while len(self._ended) > MAX_ENDED:
            await self._forget_ended(next(iter(self._ended.values())).record)
        return done

    async def _forget_ended(self, record: UploadRecord) -> None:
        self._ended.pop(record.id, None)
        await self._partials.forget(record)

    async def _keep(self, record: UploadRecord, *, unchecked_from: int | None) -> UploadRecord:
        now = self._clock.now()
        changed = msgspec.structs.replace(record, unchecked_from=unchecked_from, expires_at=now + KEPT_FOR)
        await self._partials.save(changed)
        self._records[record.id] = changed
        return changed

    async def _drop(self, record: UploadRecord) -> None:
        self._records.pop(record.id, None)
        await self._partials.discard(record)

    def _record(self, upload_id: str) -> UploadRecord:
        record = self._records.get(upload_id)
        if record is None:
            raise UploadNotFound
        return record

    @asynccontextmanager
    async def _turn(self, upload_id: str) -> AsyncIterator[_Turn]:
        """Be the only one at an upload; raise UploadBusy where it is being put in place for long."""
        try:
            async with asyncio.timeout(BUSY_S):
                while (other := self._turns.get(upload_id)) is not None:
                    other.cut()
                    await other.over.wait()
        except TimeoutError as exc:
            raise UploadBusy from exc
        turn = self._turns[upload_id] = _Turn(asyncio.current_task())
        try:
            yield turn
        finally:
            del self._turns[upload_id]
            turn.over.set()


def _forgive() -> None:
    """Take back the cancelling of this very task: it was to end the reading, and nothing else."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _show(record: UploadRecord, offset: int) -> FileUpload:
    return FileUpload(
        id=record.id,
        root=record.root,
        path=record.path,
        size=record.size or 0,
        offset=offset,
        created_at=record.created_at,
        expires_at=record.expires_at,
    )

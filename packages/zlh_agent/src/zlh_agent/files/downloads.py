"""A file's bytes, from a descriptor to the connection: read in a thread, a block ahead of what is being sent.

Each download has memory for two blocks of its own, the smaller the more downloads there are when it begins: a client
that is slow holds what it has, and nobody waits for it.

A body that was announced is sent as it was announced or broken off with its connection, never filled up: a client
cannot tell zeros from a file. What is appended meanwhile, as to a log, changes nothing of what was announced.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from zlh_agent.files.blocks import new_memory
from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.memory_rules import share_of_memory
from zlh_agent.files.model import Entry
from zlh_agent.files.presenting_rules import validators_of
from zlh_agent.files.service import FileService
from zlh_common.errors import RangeUnsatisfiable
from zlh_common.file_answers import FileAnswer, decide_answer, render_attachment
from zlh_common.file_names import name_to_text
from zlh_common.schema.file_refusals import FileRefused

# So much is handed to the connection at a time; it copies what it cannot send at once.
PIECE_BYTES = 256 * 1024
# Nothing of a customer is ever shown as a page of ours.
SAFE_HEADERS = {
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "private, no-cache",
}


class Downloads:
    """Sends files."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._active = 0

    async def answer(self, request: web.Request, service: FileService, path: str) -> web.StreamResponse:
        """Answer a GET or HEAD of a file; raise FileRefused or RangeUnsatisfiable."""
        async with service.borrow() as files:
            fd, entry = await files.open_to_read(path)
        file = HeldFile(self._threads, fd)
        try:
            common = {**SAFE_HEADERS, "Content-Disposition": render_attachment(name_to_text(entry.name) or "file")}
            answer = decide_answer(request.method, request.headers, validators_of(entry), common)
            if answer.status == 412:
                raise FileRefused("file_changed", path=path)
            if answer.status == 416:
                raise RangeUnsatisfiable(size=entry.size)
            return await self._send(request, file, entry, answer)
        finally:
            file.close()

    async def _send(self, request: web.Request, file: HeldFile, entry: Entry, answer: FileAnswer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        if answer.count and request.method == "GET":
            source = _Source(file, entry)
            self._active += 1
            try:
                await _send_blocks(request, response, source, answer, share_of_memory(self._active))
            except FileCutShort:
                break_off(request)
            finally:
                self._active -= 1
        await response.write_eof()
        return response


class FileCutShort(Exception):
    """The file is not any more what was announced."""


def break_off(request: web.Request) -> None:
    """End the connection in the middle of an answer: the only way to say that it is not whole."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionAbortedError("what was announced cannot be sent")


@dataclass(frozen=True, slots=True)
class _Source:
    """A file, and what it was when its answer was announced."""

    file: HeldFile
    entry: Entry

    def begin_read(self, block: memoryview, at: int) -> asyncio.Future[bool]:
        """Fill a block in a thread; tells whether it is of the file that was announced."""
        return self.file.begin(_read, block, at, self.entry.size, self.entry.modified_ns)


async def _send_blocks(
    request: web.Request, response: web.StreamResponse, source: _Source, answer: FileAnswer, size: int
) -> None:
    at, end = answer.start, answer.start + answer.count
    ahead, spare = new_memory(min(size, answer.count)), None
    reading = source.begin_read(ahead, at)
    while at < end:
        await _whole(reading)
        block = ahead
        at += len(block)
        if at < end:
            ahead = (spare or new_memory(size))[: end - at]
            reading = source.begin_read(ahead, at)
        for start in range(0, len(block), PIECE_BYTES):
            await response.write(block[start : start + PIECE_BYTES])
        spare = block if _is_sent(request) else None


def _is_sent(request: web.Request) -> bool:
    """Tell whether the connection holds nothing any more of what it was given, so that the memory is ours again."""
    return request.transport is not None and request.transport.get_write_buffer_size() == 0


async def _whole(reading: asyncio.Future[bool]) -> None:
    try:
        is_whole = await reading
    except OSError as exc:
        raise FileCutShort from exc
    if not is_whole:
        raise FileCutShort


def _read(fd: int, block: memoryview, at: int, size: int, modified_ns: int) -> bool:
    """Fill a block from the file; tell whether that is what it was: not cut, nor written to and not merely longer."""
    count = os.preadv(fd, [block], at)
    status = os.fstat(fd)
    is_same = status.st_size > size or (status.st_size == size and status.st_mtime_ns == modified_ns)
    return count == len(block) and is_same

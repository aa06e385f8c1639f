"""A file's bytes, from a descriptor to the connection: read in a thread, a block ahead of what is being sent.

A body that was announced is sent as it was announced or broken off with its connection, never filled up: a client
cannot tell zeros from a file. What is appended meanwhile, as to a log, changes nothing of what was announced.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.model import Entry
from zlh_agent.files.presenting_rules import validators_of
from zlh_agent.files.service import FileService
from zlh_common.errors import RangeUnsatisfiable
from zlh_common.file_answers import FileAnswer, decide_answer, render_attachment
from zlh_common.file_names import name_to_text
from zlh_common.schema.file_refusals import FileRefused

BLOCK_BYTES = 1024 * 1024
# Nothing of a customer is ever shown as a page of ours.
SAFE_HEADERS = {
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "private, no-cache",
}


async def answer_file(
    request: web.Request, service: FileService, threads: ThreadPoolExecutor, path: str
) -> web.StreamResponse:
    """Answer a GET or HEAD of a file; raise FileRefused or RangeUnsatisfiable."""
    async with service.borrow() as files:
        fd, entry = await files.open_to_read(path)
    file = HeldFile(threads, fd)
    try:
        common = {**SAFE_HEADERS, "Content-Disposition": render_attachment(name_to_text(entry.name) or "file")}
        answer = decide_answer(request.method, request.headers, validators_of(entry), common)
        if answer.status == 412:
            raise FileRefused("file_changed", path=path)
        if answer.status == 416:
            raise RangeUnsatisfiable(size=entry.size)
        return await _send(request, file, entry, answer)
    finally:
        file.close()


async def _send(request: web.Request, file: HeldFile, entry: Entry, answer: FileAnswer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    if answer.count and request.method == "GET":
        try:
            await _send_blocks(response, file, entry, answer)
        except FileCutShort:
            break_off(request)
    await response.write_eof()
    return response


class FileCutShort(Exception):
    """The file is not any more what was announced."""


def break_off(request: web.Request) -> None:
    """End the connection in the middle of an answer: the only way to say that it is not whole."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionAbortedError("what was announced cannot be sent")


async def _send_blocks(response: web.StreamResponse, file: HeldFile, entry: Entry, answer: FileAnswer) -> None:
    at, end = answer.start, answer.start + answer.count
    reading = file.begin(_read, at, min(BLOCK_BYTES, end - at), entry.size, entry.modified_ns)
    while at < end:
        block = await _whole(reading)
        at += len(block)
        if at < end:
            reading = file.begin(_read, at, min(BLOCK_BYTES, end - at), entry.size, entry.modified_ns)
        await response.write(block)


async def _whole(reading: asyncio.Future[bytes | None]) -> bytes:
    try:
        block = await reading
    except OSError as exc:
        raise FileCutShort from exc
    if block is None:
        raise FileCutShort
    return block


def _read(fd: int, at: int, count: int, size: int, modified_ns: int) -> bytes | None:
    """Return a block of the file, None where it is not what it was: cut, or written to and not merely longer."""
    block = os.pread(fd, count, at)
    status = os.fstat(fd)
    is_same = status.st_size > size or (status.st_size == size and status.st_mtime_ns == modified_ns)
    return block if len(block) == count and is_same else None

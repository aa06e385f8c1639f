"""One file of the tree over HTTP, for whoever serves it: the artifact server by itself, or the API below /artifacts/.

Reads and writes nothing but what a request asks for, follows no link, lists no folder, and knows no file that the
catalog's clients do not need.
"""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
from aiohttp import web

from zlh_api.artifacts.errors import FileUnknown
from zlh_api.artifacts.serving.file_answers import FileFacts, decide_answer, parse_served_path
from zlh_common.errors import RangeUnsatisfiable
from zlh_common.file_answers import FileAnswer

# A client takes each piece in this time, or is hung up on: it holds a connection and a file. An agent puts up with a
# server that is as slow, 16 KiB a second.
PIECE_BYTES, PIECE_S = 1024 * 1024, 64.0


async def answer_file(request: web.Request, folder: Path, path: str) -> web.StreamResponse:
    """Answer a GET or HEAD of `path` below `folder`; raise FileUnknown or RangeUnsatisfiable."""
    parts = parse_served_path(path)
    if parts is None:
        raise FileUnknown
    file = await asyncio.to_thread(_open_beneath, folder, parts)
    try:
        return await _send(request, file, "/".join(parts))
    finally:
        file.close()


def read_expiry(folder: Path) -> datetime | None:
    """Return until when the published timestamp holds; signatures are the clients' matter."""
    try:
        document = msgspec.json.decode((folder / "metadata" / "timestamp.json").read_bytes())
        return datetime.fromisoformat(document["signed"]["expires"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _send(request: web.Request, file: IO[bytes], path: str) -> web.StreamResponse:
    found = os.fstat(file.fileno())
    facts = FileFacts(path, found.st_size, found.st_mtime_ns)
    answer = decide_answer(request.method, request.headers, facts)
    if answer.status == 416:
        raise RangeUnsatisfiable(size=facts.size)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    if answer.count and request.method == "GET":
        await _send_bytes(request, file, answer)
    await response.write_eof()
    return response


async def _send_bytes(request: web.Request, file: IO[bytes], answer: FileAnswer) -> None:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    at, end = answer.start, answer.start + answer.count
    while at < end:
        piece = min(PIECE_BYTES, end - at)
        try:
            async with asyncio.timeout(PIECE_S):
                # The kernel copies: no byte of an archive passes through this process.
                sent = await asyncio.get_running_loop().sendfile(transport, file, at, piece)
        except TimeoutError:
            sent = 0
        at += sent
        if sent < piece:
            # Too slow, or the file was cut meanwhile; a closed connection is the only way to say so after the headers.
            transport.abort()
            return


def _open_beneath(folder: Path, parts: tuple[str, ...]) -> IO[bytes]:
    """Open a regular file, part by part and through no link; raise FileUnknown for anything else."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise FileUnknown from exc
    try:
        for part in parts:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            deeper = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileUnknown
        return os.fdopen(os.dup(descriptor), "rb", buffering=0)
    except OSError as exc:
        raise FileUnknown from exc
    finally:
        os.close(descriptor)

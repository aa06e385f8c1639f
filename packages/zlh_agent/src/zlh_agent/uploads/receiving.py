"""The bytes of a body on their way to a descriptor: gathered to blocks, written in a thread, the next one meanwhile.

What has come and is not written yet is at most two blocks, so memory stays flat however large the body is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Protocol

from aiohttp import ClientError, StreamReader

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.refusals import refusal_of
from zlh_common.schema.file_refusals import BodyStalled, FileRefused, UploadInvalid

BLOCK_BYTES = 1024 * 1024
# What drips is written all the same, so that little is lost at a cut.
GATHER_S = 0.25


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class BodyCut(Exception):
    """The connection ended before the body did."""


class Body:
    """A body that comes. What was taken from the connection and not given on stays in `left` when anything fails."""

    def __init__(self, content: StreamReader, *, silence_s: float) -> None:
        self._content = content
        self._silence_s = silence_s
        self.left: list[bytes] = []

    async def next_block(self) -> bytes:
        """Return what comes next, nothing at the end; raise BodyStalled or BodyCut."""
        size = 0
        while size < BLOCK_BYTES:
            try:
                async with asyncio.timeout(GATHER_S if self.left else self._silence_s):
                    part = await self._content.readany()
            except TimeoutError as exc:
                if self.left:
                    break
                raise BodyStalled(silence_s=self._silence_s) from exc
            except (ClientError, OSError) as exc:
                raise BodyCut from exc
            if not part:
                break
            self.left.append(part)
            size += len(part)
        return self.take()

    def take(self) -> bytes:
        """Return what has come and was not given on."""
        block = b"".join(self.left)
        self.left.clear()
        return block


class Sink:
    """Writes blocks one after the other from `offset` on, in threads, and hashes them on the way.

    `offset` says how many bytes are in the file for certain.
    """

    def __init__(self, offset: int, *, limit: int | None, algorithm: str | None = None) -> None:
        self.offset = offset
        self._limit = limit
        self._hash: _Hash | None = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None

    def write(self, fd: int, block: bytes) -> None:
        """Write a block; raises OSError, or UploadInvalid where it is more than was announced."""
        if self._limit is not None and self.offset + len(block) > self._limit:
            raise UploadInvalid(reason=f"more than the {self._limit} bytes came that were announced")
        view = memoryview(block)
        if self._hash is not None:
            self._hash.update(block)
        while view:
            done = os.pwrite(fd, view, self.offset)
            self.offset += done
            view = view[done:]

    def digest(self) -> bytes:
        """Return the hash of what was written; nothing where none is taken."""
        return self._hash.digest() if self._hash is not None else b""


async def receive(body: Body, file: HeldFile, sink: Sink, *, path: str) -> None:
    """Write a body to its end.

    Whatever is raised or cancels it, what had come is written, and no thread is at work.
    """
    try:
        await _pump(body, file, sink)
    except OSError as exc:
        await file.settled()
        raise FileRefused(refusal_of(exc).code, path=path) from exc
    except BaseException:
        await _write_rest(body, file, sink)
        raise


async def _pump(body: Body, file: HeldFile, sink: Sink) -> None:
    # Shielded: a write that was begun is never taken back, or what follows it would stand in the wrong place.
    writing: asyncio.Future[None] | None = None
    while block := await body.next_block():
        if writing is not None:
            # Held where it is not lost if the write before fails or is given up.
            body.left.append(block)
            await asyncio.shield(writing)
            body.left.clear()
        writing = file.begin(sink.write, block)
    if writing is not None:
        await asyncio.shield(writing)


async def _write_rest(body: Body, file: HeldFile, sink: Sink) -> None:
    await file.settled()
    rest = body.take()
    if rest:
        try:
            await file.begin(sink.write, rest)
        except (OSError, UploadInvalid):
            await file.settled()

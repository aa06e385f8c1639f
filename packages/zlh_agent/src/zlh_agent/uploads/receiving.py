"""The bytes of a body on their way to a descriptor: gathered to blocks, written in a thread, the next one meanwhile.

A body holds at most three blocks of those that all share (`files/blocks.py`), and none while nothing comes, so memory
stays flat however large bodies are and however many come at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Protocol

from zlh_agent.files.blocks import Block, Blocks
from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.finishing import to_its_end
from zlh_agent.files.refusals import refusal_of
from zlh_common.schema.file_refusals import FileRefused, UploadInvalid

# What drips is written all the same, so that little is lost at a cut.
GATHER_S = 0.25


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class BodyCut(Exception):
    """The connection ended before the body did."""


class Body(Protocol):
    """A body that comes. What has come and was not taken stays in it when anything fails."""

    async def fill(self) -> bool:
        """Have a block to take; tell whether there is one, which is not so at the end. Raise BodyStalled or BodyCut."""
        ...

    def take(self) -> Block | None:
        """Return what has come, for the caller to give back, also where filling it has failed; None without any."""
        ...

    def stop(self) -> None:
        """Have nothing more come."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Sink:
    """Writes blocks one after the other from `offset` on, in threads, and hashes them on the way.

    `offset` says how many bytes are in the file for certain.
    """

    def __init__(self, offset: int, *, limit: int | None, algorithm: str | None = None) -> None:
        self.offset = offset
        self._limit = limit
        self._hash: _Hash | None = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None

    def write(self, fd: int, view: memoryview) -> None:
        """Write a block; raises OSError, or UploadInvalid where it is more than was announced."""
        if self._limit is not None and self.offset + len(view) > self._limit:
            raise UploadInvalid(reason=f"more than the {self._limit} bytes came that were announced")
        if self._hash is not None:
            self._hash.update(view)
        while view:
            done = os.pwrite(fd, view, self.offset)
            self.offset += done
            view = view[done:]

    def digest(self) -> bytes:
        """Return the hash of what was written; nothing where none is taken."""
        return self._hash.digest() if self._hash is not None else b""


async def receive(body: Body, file: HeldFile, sink: Sink, blocks: Blocks, *, path: str) -> None:
    """Write a body to its end, and let go of its connection.

    Whatever is raised or cancels it, what had come is written, and no thread is at work.
    """
    with blocks.in_use():
        try:
            await _pump(body, file, sink, blocks)
        except OSError as exc:
            await to_its_end(file.settled())
            raise FileRefused(refusal_of(exc).code, path=path) from exc
        except BaseException:
            # A block would else be lent anew while a thread writes it, and a file grow after its length was told.
            await to_its_end(_write_rest(body, file, sink, blocks))
            raise
        finally:
            body.stop()
            while (block := body.take()) is not None:
                blocks.give_back(block)
            body.close()


async def _pump(body: Body, file: HeldFile, sink: Sink, blocks: Blocks) -> None:
    # Shielded: a write that was begun is never taken back, or what follows it would stand in the wrong place.
    writing: asyncio.Future[None] | None = None
    while await body.fill():
        if writing is not None:
            await asyncio.shield(writing)
        writing = _begin_write(body, file, sink, blocks)
    if writing is not None:
        await asyncio.shield(writing)


async def _write_rest(body: Body, file: HeldFile, sink: Sink, blocks: Blocks) -> None:
    body.stop()
    await file.settled()
    try:
        while (writing := _begin_write(body, file, sink, blocks)) is not None:
            await writing
    except (OSError, UploadInvalid):
        await file.settled()


def _begin_write(body: Body, file: HeldFile, sink: Sink, blocks: Blocks) -> asyncio.Future[None] | None:
    """Write the block of a body, which comes back once that is done; return what to wait for, None without a block."""
    block = body.take()
    if block is None:
        return None
    try:
        writing = file.begin(sink.write, block.content)
    except BaseException:
        blocks.give_back(block)
        raise
    writing.add_done_callback(lambda _: blocks.give_back(block))
    return writing

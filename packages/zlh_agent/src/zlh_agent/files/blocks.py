"""The memory that files hold on their way in: a few blocks, shared by all that come at a time.

What goes out has memory of its own (`downloads.py`), since a client that does not read would keep a shared block.

Whoever waits for a block is served in turn. A block is held from the first byte that is in it until it is on the
disk, and one that fills slowly is written half empty, so each comes back by itself and nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

BLOCK_BYTES = 1024 * 1024
MAX_BLOCKS = 6


def new_memory(size: int) -> memoryview:
    """Return memory apart from the heap, which would keep what is freed."""
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Block:
    """Memory that is filled from its beginning on."""

    __slots__ = ("_memory", "filled")

    def __init__(self, size: int) -> None:
        self._memory = new_memory(size)
        self.filled = 0

    @property
    def free(self) -> memoryview:
        """What is not filled yet."""
        return self._memory[self.filled :]

    @property
    def content(self) -> memoryview:
        """What is filled."""
        return self._memory[: self.filled]

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits."""
        return self.filled == len(self._memory)

    def add(self, data: bytes | memoryview) -> None:
        """Fill in what is known to fit."""
        end = self.filled + len(data)
        self._memory[self.filled : end] = data
        self.filled = end


class Blocks:
    """Lends blocks. While anything is under way some lie ready, since new memory is dear to touch; else none."""

    def __init__(self, *, count: int = MAX_BLOCKS, size: int = BLOCK_BYTES) -> None:
        self._size = size
        self._left = count
        self._ready: list[Block] = []
        self._waiting: deque[asyncio.Future[Block]] = deque()
        self._users = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Be one of those whose blocks lie ready."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._drop_if_idle()

    def take_nowait(self) -> Block | None:
        """Return an empty block, which the caller gives back; None where there is none, or others wait for one."""
        if not self._left:
            return None
        self._left -= 1
        return self._ready.pop() if self._ready else Block(self._size)

    async def take(self) -> Block:
        """Return an empty block, which the caller gives back; wait for one in turn."""
        block = self.take_nowait()
        if block is not None:
            return block
        turn: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back(turn.result())
            raise

    def give_back(self, block: Block) -> None:
        """Take back a block at which nobody is any more; whoever waits for longest has it then."""
        block.filled = 0
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(block)
                return
        self._left += 1
        self._ready.append(block)
        self._drop_if_idle()

    def _drop_if_idle(self) -> None:
        if not self._users:
            self._ready.clear()

"""A body by way of aiohttp's parser: one of unknown length, or a small one."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError, StreamReader

from zlh_agent.files.blocks import Block, Blocks
from zlh_agent.uploads.receiving import GATHER_S, BodyCut
from zlh_common.schema.file_refusals import BodyStalled

# So much is read at once, and up to twice as much waits then.
PART_BYTES = 64 * 1024


class StreamBody:
    """Reads a stream; see `receiving.Body`."""

    def __init__(self, content: StreamReader, blocks: Blocks, *, silence_s: float) -> None:
        self._content = content
        self._blocks = blocks
        self._silence_s = silence_s
        self._block: Block | None = None

    async def fill(self) -> bool:
        """Have a block to take; tell whether there is one."""
        try:
            async with asyncio.timeout(self._silence_s):
                first = await self._content.read(PART_BYTES)
        except TimeoutError as exc:
            raise BodyStalled(silence_s=self._silence_s) from exc
        except (ClientError, OSError) as exc:
            raise BodyCut from exc
        if not first:
            return False
        self._block = await self._blocks.take()
        self._block.add(first)
        await self._gather(self._block)
        return True

    def take(self) -> Block | None:
        """Return the block."""
        block, self._block = self._block, None
        return block

    def stop(self) -> None:
        """Read no more."""

    def close(self) -> None:
        """Leave the connection to aiohttp, whose it is."""

    async def _gather(self, block: Block) -> None:
        try:
            async with asyncio.timeout(GATHER_S):
                while not block.is_full and (part := await self._content.read(min(PART_BYTES, len(block.free)))):
                    block.add(part)
        except TimeoutError:
            pass
        except (ClientError, OSError) as exc:
            raise BodyCut from exc

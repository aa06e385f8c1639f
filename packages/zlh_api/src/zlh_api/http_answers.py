"""What other systems' HTTP servers answer: read in bounds, and said in words where nothing comes."""

from __future__ import annotations

import os

import aiohttp

PART_BYTES = 64 * 1024


async def read_bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Return the whole body; raise aiohttp.ClientPayloadError for one that is longer, which is not read on."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(PART_BYTES):
        size += len(part)
        if size > most_bytes:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {most_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def spell_failure(error: Exception) -> str:
    """Say what is wrong without the address that was called: whose container waits for it need not know that."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"it cannot be reached ({os.strerror(number) if number else type(error.os_error).__name__})"
    return f"the connection broke ({type(error).__name__})"

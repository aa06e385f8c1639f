"""Reading and searching the history of a console from its ring, whether its program runs or not. It blocks."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from zlh_agent.console.rules import MAX_MATCHES, find_matches
from zlh_agent.shim.ring import RingReader
from zlh_common.schema.terminal import ConsoleHistory

_SEARCH_BYTES = 1024 * 1024
# Of what has not run yet: no stream is named by the nil UUID.
NO_HISTORY = ConsoleHistory(stream=str(UUID(int=0)), start=0, end=0, written=0, text="", data="")


def read_history(path: Path, start: int | None, limit: int, needle: bytes) -> ConsoleHistory:
    """Return up to `limit` bytes from `start` (None: the last ones), and where `needle` is from there on.

    The search without a start is through everything that the ring holds. Raises OSError or RingInvalid where there is
    no history.
    """
    reader = RingReader(path)
    try:
        written = reader.written()
        oldest = max(0, written - reader.capacity)
        first = max(oldest, written - limit) if start is None else min(max(start, oldest), written)
        data = reader.read(first, limit)
        if data is None:
            # Lapped while we looked: the newest stretch is what stands.
            first = max(0, reader.written() - limit)
            data = reader.read(first, limit) or bytearray()
        chunks = _chunks(reader, oldest if start is None else first, written)
        matches = find_matches(chunks, needle) if needle else iter(())
        return ConsoleHistory(
            stream=str(UUID(bytes=reader.stream)),
            start=first,
            end=first + len(data),
            written=written,
            text=data.decode("utf-8", "replace"),
            data=base64.b64encode(data).decode(),
            matches=tuple(at for at, _ in zip(matches, range(MAX_MATCHES), strict=False)),
        )
    finally:
        reader.close()


def _chunks(reader: RingReader, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) over [start, end); what is lapped meanwhile is left out."""
    at = start
    while at < end:
        data = reader.read(at, min(_SEARCH_BYTES, end - at))
        if data is None:
            at = max(at + 1, reader.oldest())
            continue
        yield at, bytes(data)
        at += len(data)

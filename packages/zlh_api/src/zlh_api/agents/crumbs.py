"""The connection to an agent: what comes is taken in small parts, and one whose answer comes in crumbs is ended.

A chunk of one byte takes as long to take apart as one of thousands, and asyncio reads 256 KiB at a time: 43,000 such
chunks, which hold the loop for half a second, for each connection that an agent is asked on.
"""

from __future__ import annotations

import structlog
from aiohttp.client_proto import ResponseHandler

log = structlog.get_logger()
PART_BYTES = 16 * 1024
# What of a full part is content at least: chunks of 42 bytes on average. Agents send them of hundreds and more.
_LEAST_CONTENT_BYTES = PART_BYTES * 7 // 8


class NoCrumbs(ResponseHandler):
    """Ends where a part has come with little in it but the edges of chunks."""

    _is_ended = False

    def data_received(self, data: bytes) -> None:
        """Take what has come, part by part."""
        for at in range(0, len(data), PART_BYTES):
            if self._is_ended:
                return
            self._take(data[at : at + PART_BYTES])

    def _take(self, part: bytes) -> None:
        payload = self._payload
        before = 0 if payload is None else payload.total_bytes
        super().data_received(part)
        # A part in which an answer begins or ends has other things in it.
        if payload is None or payload is not self._payload or payload.is_eof() or len(part) < PART_BYTES:
            return
        if payload.total_bytes - before < _LEAST_CONTENT_BYTES:
            log.warning("agent.sends_crumbs", content_bytes=payload.total_bytes - before, of_bytes=len(part))
            self._is_ended = True
            if self.transport is not None:
                self.transport.abort()

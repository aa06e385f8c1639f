"""The event stream: the report on every change and every 30 s, and what else was asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass

import structlog
from aiohttp import WSCloseCode, web

from zlh_agent.journal.service import JournalService
from zlh_agent.metrics.service import MetricsService
from zlh_agent.status.service import StatusService
from zlh_common.errors import ZlhError
from zlh_common.pace import Allowance, Rate, take
from zlh_common.schema.agent_events import (
    HAPPENINGS_AT_ONCE,
    HAPPENINGS_PER_S,
    MAX_ITEMS,
    HappeningsEvent,
    MetricsEvent,
    StatusEvent,
    StreamMessage,
)
from zlh_common.schema.structs import encode

log = structlog.get_logger()
HEARTBEAT_S = 30.0
# At most ten pushes a second: the first at once, what follows together.
MIN_INTERVAL_S = 0.1
WRITE_TIMEOUT_S = 30.0
_RATE = Rate(HAPPENINGS_AT_ONCE, HAPPENINGS_PER_S)
_NUMBER = re.compile(r"[0-9]{1,16}")


class StreamQueryInvalid(ZlhError):
    """What was asked of the event stream makes no sense."""

    code, status = "stream_query_invalid", 400

    def __init__(self) -> None:
        super().__init__("`after` must be a whole number from 0 on.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What one stream carries beside the status, and after which entry of which journal it begins."""

    takes: frozenset[str]
    journal: str
    after: int


def parse_asked(request: web.Request) -> Asked:
    """Return what was asked for; kinds that are not known are left out. Raises StreamQueryInvalid."""
    after = request.query.get("after", "0")
    if _NUMBER.fullmatch(after) is None:
        raise StreamQueryInvalid
    takes = frozenset(request.query.get("take", "").split(","))
    return Asked(takes, request.query.get("journal", ""), int(after))


class EventStream:
    """Serves any number of streams."""

    def __init__(self, status: StatusService, journal: JournalService, metrics: MetricsService) -> None:
        self._status = status
        self._journal = journal
        self._metrics = metrics

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one stream until either side goes."""
        asked = parse_asked(request)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=4096)
        await socket.prepare(request)
        pushes = [asyncio.create_task(_push_or_close(socket, push)) for push in self._pushes(socket, asked)]
        try:
            # The API says nothing on this stream; reading is how its end is seen.
            async for _message in socket:
                pass
        finally:
            for push in pushes:
                push.cancel()
            await asyncio.gather(*pushes, return_exceptions=True)
        return socket

    def _pushes(self, socket: web.WebSocketResponse, asked: Asked) -> list[Coroutine[None, None, None]]:
        pushes = [self._push_status(socket)]
        if "happenings" in asked.takes:
            pushes.append(self._push_happenings(socket, asked))
        if "metrics" in asked.takes:
            pushes.append(self._push_metrics(socket))
        return pushes

    async def _push_status(self, socket: web.WebSocketResponse) -> None:
        """Send the newest report, again and again; a slow reader gets fewer of them, never older ones."""
        with self._status.watch() as changed:
            while not self._status.is_closing:
                changed.clear()
                await _send(socket, StatusEvent(status=self._status.report()))
                await asyncio.sleep(MIN_INTERVAL_S)
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def _push_happenings(self, socket: web.WebSocketResponse, asked: Asked) -> None:
        """Send the journal from where the reader is; one who is too slow finds the oldest entries gone."""
        after = asked.after if asked.journal == self._journal.id else 0
        clock = asyncio.get_running_loop().time
        allowance = Allowance(_RATE.at_once, clock())
        with self._journal.watch() as written:
            while True:
                written.clear()
                items = self._journal.read_after(after, MAX_ITEMS)
                may_send, allowance = take(allowance, len(items), _RATE, clock())
                if may_send:
                    sent = tuple(items[:may_send])
                    await _send(socket, HappeningsEvent(journal=self._journal.id, items=sent))
                    after = sent[-1].number
                elif items:
                    await asyncio.sleep(1 / _RATE.per_s)
                else:
                    await written.wait()

    async def _push_metrics(self, socket: web.WebSocketResponse) -> None:
        """Send the newest sample, and each that follows."""
        with self._metrics.watch() as sampled:
            while True:
                sampled.clear()
                if self._metrics.newest is not None:
                    await _send(socket, MetricsEvent(metrics=self._metrics.newest))
                await sampled.wait()


async def _push_or_close(socket: web.WebSocketResponse, push: Coroutine[None, None, None]) -> None:
    """Push until that ends in whatever way; a stream that lacks a part is none, and its reader dials again."""
    try:
        await push
    except (ConnectionError, TimeoutError) as error:
        log.info("stream.ended", error=str(error) or type(error).__name__)
    finally:
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the agent goes")


async def _send(socket: web.WebSocketResponse, message: StreamMessage) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await socket.send_str(encode(message).decode())


def routes(stream: EventStream) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice."""
    return [web.get("/events", stream.serve)]

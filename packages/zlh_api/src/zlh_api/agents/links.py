"""Links: one open event stream per running guest, held by one API process at a time.

A link writes what the agent reports into the container's row, and wakes the reconciler where that could change the next
step; what has happened and what is used it hands to the history. A link that breaks is dialled again; what the row says
of the connection is what the holder of the link saw.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog
from websockets.exceptions import WebSocketException

from zlh_api.agents.client import (
    AgentAddress,
    AgentClient,
    AgentNonsense,
    parse_stream,
)
from zlh_api.agents.rules import CONNECTING_TRIES, Redial, next_redial
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.history.intake import HistoryIntake
from zlh_api.history.service import HistoryService
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark, Vmid
from zlh_common.pace import Allowance, Pace, take
from zlh_common.schema.agent_events import HappeningsEvent, MetricsEvent, StatusEvent
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode

log = structlog.get_logger()
LEASE_S = 15
RENEW_S = 5
POLL_S = 1.0
CLAIM_LIMIT = 200
# An agent reports each 30 s even if nothing changes; one that misses two is not there.
SILENCE_S = 75
# How fast the reports of one agent are taken: a container that floods waits at its own end of the stream.
MIN_PAUSE_S, MAX_BYTES_PER_S = 0.05, 256 * 1024
# How often the reports of one agent may have its container looked at at once; beyond that, they do so a little later.
WAKES_PACE, LATER = Pace(10, 1.0), timedelta(seconds=1)

_CLAIM = f"""
update containers set link_holder = $1, link_until = now() + interval '{LEASE_S} seconds', link_fence = link_fence + 1
where owner in (
    select owner from containers
    where address is not null and guest = 'running' and (link_until is null or link_until < now())
    limit $2 for update skip locked)
returning owner, vmid, host(address) as address, link_fence
"""
_RENEW = f"""
update containers set link_until = now() + interval '{LEASE_S} seconds'
where link_holder = $1 and address is not null and guest = 'running' returning owner, link_fence
"""
_RELEASE = "update containers set link_holder = null, link_until = null where owner = $1 and link_fence = $2"
_REPORT = """
update containers set agent_status = $3, observed_at = now(), connection = 'online',
    wake_at = least(wake_at, now() + $4::interval)
where owner = $1 and link_fence = $2
"""
_OFFLINE = """
update containers set connection = $3, wake_at = least(wake_at, now())
where owner = $1 and link_fence = $2 and connection <> $3
"""


@dataclass(frozen=True, slots=True)
class _Link:
    owner: OwnerMark
    vmid: Vmid
    agent: AgentAddress
    fence: int


class _Wakes:
    """When the container of one agent is looked at because of what the agent reports."""

    def __init__(self) -> None:
        self._left = Allowance(WAKES_PACE.at_once, asyncio.get_running_loop().time())

    def next_delay(self) -> timedelta:
        """Return how long from now it is looked at."""
        may_wake, self._left = take(self._left, 1, WAKES_PACE, asyncio.get_running_loop().time())
        return timedelta(0) if may_wake else LATER


class AgentLinks:
    """Holds the links of this API process."""

    def __init__(self, database: Database, client: AgentClient, history: HistoryService, *, agent_port: int) -> None:
        self._database = database
        self._client = client
        self._history = history
        self._port = agent_port
        self._holder = uuid4()
        self._wake = asyncio.Event()
        self._tasks: dict[tuple[OwnerMark, int], asyncio.Task[None]] = {}

    def wake(self, _payload: str = "") -> None:
        """Look for guests without a link now."""
        self._wake.set()

    async def run(self) -> None:
        """Claim, hold and renew links for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew_for_ever())
                while True:
                    self._wake.clear()
                    await self._claim(group)
                    try:
                        async with asyncio.timeout(POLL_S):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
        finally:
            self._tasks.clear()

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_CLAIM, self._holder, CLAIM_LIMIT)
        except DatabaseUnavailable:
            return
        for row in rows:
            owner = OwnerMark(str(row["owner"]))
            agent = AgentAddress(owner, row["address"], self._port)
            link = _Link(owner, Vmid(row["vmid"]), agent, row["link_fence"])
            key = (owner, link.fence)
            task = group.create_task(self._hold(link))
            self._tasks[key] = task
            task.add_done_callback(partial(self._forget_task, key))

    def _forget_task(self, key: tuple[OwnerMark, int], _task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                async with self._database.connection() as connection:
                    rows = await connection.fetch(_RENEW, self._holder)
            except DatabaseUnavailable:
                continue
            held = {(OwnerMark(str(row["owner"])), row["link_fence"]) for row in rows}
            for key, task in list(self._tasks.items()):
                if key not in held:
                    task.cancel()

    async def _hold(self, link: _Link) -> None:
        """Keep one link open until its guest is gone; what is cancelled was lost or is over."""
        try:
            redial, loop = Redial(), asyncio.get_running_loop()
            intake, wakes = HistoryIntake(self._history, link.owner, link.fence), _Wakes()
            while await self._is_still_ours(link):
                began, failed = loop.time(), False
                try:
                    await self._follow(link, intake, wakes)
                except DatabaseUnavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever a stranger makes of us stays with his container
                    await self._note_failure(link, error, redial.failures)
                    failed = True
                held_s = loop.time() - began
                redial, wait_s = next_redial(redial, failed=failed, held_s=held_s, chance=random.random())  # noqa: S311
                await asyncio.sleep(wait_s)
        except DatabaseUnavailable:
            # Without the database nothing can be held; the lease runs out and whoever is first takes it.
            log.warning("agent.link_dropped", vmid=link.vmid)
        finally:
            await asyncio.shield(self._let_go(link))

    async def _follow(self, link: _Link, intake: HistoryIntake, wakes: _Wakes) -> None:
        """Read one event stream until it ends."""
        last: AgentStatus | None = None
        async with self._client.open_socket(link.agent, "/events", query=await intake.resume()) as socket:
            log.info("agent.online", vmid=link.vmid)
            try:
                while True:
                    async with asyncio.timeout(SILENCE_S):
                        raw = await socket.recv()
                    match parse_stream(raw):
                        case StatusEvent(status=report):
                            await self._save(link, report, wakes.next_delay() if _moves(report, last) else None)
                            last = report
                        case HappeningsEvent() as event:
                            await intake.take_happenings(event)
                        case MetricsEvent(metrics=metrics):
                            intake.take_sample(metrics)
                        case None:
                            # A newer agent says what only a newer API asks for; this one did not.
                            pass
                    await asyncio.sleep(max(MIN_PAUSE_S, len(raw) / MAX_BYTES_PER_S))
            except (WebSocketException, TimeoutError, OSError) as exc:
                log.info("agent.offline", vmid=link.vmid, error=str(exc) or type(exc).__name__)
                await self._note_offline(link, "offline")

    async def _save(self, link: _Link, report: AgentStatus, wake_in: timedelta | None) -> None:
        """Write a report, and have its container looked at in time; None is for one that changes no step."""
        if report.owner != link.owner:
            raise AgentNonsense("it speaks for another container")
        try:
            async with self._database.connection() as connection:
                await connection.execute(_REPORT, UUID(link.owner), link.fence, _json(report), wake_in)
        except asyncpg.DataError as exc:
            # JSON may hold a NUL character and jsonb may not; a stranger's report must not end all links.
            raise AgentNonsense("its report holds what no text may hold") from exc

    async def _note_failure(self, link: _Link, error: Exception, failures: int) -> None:
        await self._note_offline(link, "connecting" if failures < CONNECTING_TRIES else "offline")
        if failures not in {0, CONNECTING_TRIES}:
            return
        if isinstance(error, ZlhError):
            log.info("agent.link_failed", vmid=link.vmid, code=error.code, error=error.detail)
        else:
            log.error("agent.link_broke", vmid=link.vmid, exc_info=error)

    async def _note_offline(self, link: _Link, how: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_OFFLINE, UUID(link.owner), link.fence, how)

    async def _is_still_ours(self, link: _Link) -> bool:
        async with self._database.connection() as connection:
            found = await connection.fetchval(
                "select true from containers where owner = $1 and link_fence = $2 and guest = 'running' "
                "and address is not null",
                UUID(link.owner),
                link.fence,
            )
        return found is True

    async def _let_go(self, link: _Link) -> None:
        try:
            await self._note_offline(link, "offline")
            async with self._database.connection() as connection:
                await connection.execute(_RELEASE, UUID(link.owner), link.fence)
        except DatabaseUnavailable:
            return


def _moves(report: AgentStatus, last: AgentStatus | None) -> bool:
    """Tell whether a report may change the next step of its container."""
    return last is None or (
        (report.spec_generation, report.observed_generation) != (last.spec_generation, last.observed_generation)
    )


def _json(report: AgentStatus) -> object:
    """Return the report as the jsonb codec takes it, camelCase as on the wire."""
    return msgspec.json.decode(encode(report))

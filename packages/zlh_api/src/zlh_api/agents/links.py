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

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from zlh_api.agents.client import (
    AgentAddress,
    AgentClient,
    AgentNonsense,
    parse_stream,
    was_superseded,
)
from zlh_api.agents.reports import ReportWriter
from zlh_api.agents.rules import CONNECTING_TRIES, Redial, next_redial
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.history.intake import HistoryIntake
from zlh_api.history.service import HistoryService
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark, Vmid
from zlh_common.pace import Allowance, Rate, pay, take
from zlh_common.schema.agent_events import HappeningsEvent, MetricsEvent, StatusEvent
from zlh_common.schema.game import SERVER
from zlh_common.schema.spec import MAX_ADDONS
from zlh_common.schema.status import PROTOCOL_VERSION, AgentStatus

log = structlog.get_logger()
# A process that has not renewed for so long holds nothing any more; one that comes back finds that out as it renews.
LEASE_S = 15
RENEW_S = 5
POLL_S = 1.0
# So many links may be on their way to their first stream: a handshake costs milliseconds, and has ten seconds.
MAX_OPENING = 256
# An agent reports each 30 s even if nothing changes; who is later than that is asked whether he is there.
QUIET_S, ANSWER_S = 35, 20
# One that misses two is not there, whatever else it answers.
SILENCE_S = 75
# How fast the reports of one agent are taken: a container that floods waits at its own end of the stream.
MIN_PAUSE_S, MAX_BYTES_PER_S, IN_HAND_S = 0.05, 256 * 1024, 0.1
# What a newer agent says of itself may have to be read value by value, and costs as much as so many times its bytes.
NEWER_COSTS = 10
# How often the reports of one agent may have its container looked at at once; beyond that, they do so a little later.
WAKES_RATE, LATER = Rate(10, 1.0), timedelta(seconds=1)
# Of reports that say nothing new, one in so many seconds is written: that old may be what people see of the time.
HEARD_S = 25.0

_HOLD = f"""
insert into link_holders values ($1, now() + interval '{LEASE_S} seconds')
on conflict (holder) do update set until = excluded.until
"""
_IS_ONE_DEAD = "select exists (select from link_holders where until < now())"
# What a process held whose time is over is free, and what that process still writes counts no more.
_FREE = """
update containers set link_holder = null, link_fence = link_fence + 1
where owner in (
    select owner from containers
    where link_holder = any (array(select holder from link_holders where until < now()))
    for no key update skip locked)
"""
_FORGET_HOLDERS = """
delete from link_holders h
where until < now() - interval '1 minute' and not exists (select from containers where link_holder = h.holder)
"""
_CLAIM = """
update containers set link_holder = $1, link_fence = link_fence + 1
where owner in (
    select owner from containers
    where link_holder is null and address is not null and guest = 'running'
    limit $2 for no key update skip locked)
returning owner, vmid, host(address) as address, link_fence
"""
_COUNT_HELD = """
select count(*) as links, coalesce(sum(link_fence), 0)::bigint as fences from containers
where link_holder = $1 and address is not null and guest = 'running'
"""
_HELD = """
select owner, link_fence from containers where link_holder = $1 and address is not null and guest = 'running'
"""
_RELEASE = "update containers set link_holder = null where owner = $1 and link_fence = $2"
_OFFLINE = """
update containers set connection = $3, wake_at = least(wake_at, now())
where owner = $1 and link_fence = $2 and connection <> $3
"""
# Generations, and what stands for the runs of addons.
_Moves = tuple[int, int, int]
_TIME_KEY = '"observedAt":"'


@dataclass(frozen=True, slots=True)
class _Link:
    owner: OwnerMark
    vmid: Vmid
    agent: AgentAddress
    fence: int


class _Wakes:
    """When the container of one agent is looked at because of what the agent reports."""

    def __init__(self) -> None:
        self._left = Allowance(WAKES_RATE.at_once, asyncio.get_running_loop().time())

    def next_delay(self) -> timedelta:
        """Return how long from now it is looked at."""
        may_wake, self._left = take(self._left, 1, WAKES_RATE, asyncio.get_running_loop().time())
        return timedelta(0) if may_wake else LATER


class AgentLinks:
    """Holds the links of this API process."""

    def __init__(self, database: Database, client: AgentClient, history: HistoryService, *, agent_port: int) -> None:
        self._database = database
        self._client = client
        self._history = history
        self._reports = ReportWriter(database)
        self._port = agent_port
        self._holder = uuid4()
        self._wake = asyncio.Event()
        self._tasks: dict[tuple[OwnerMark, int], asyncio.Task[None]] = {}
        # What is claimed is among the tasks before anybody compares the two.
        self._claiming = asyncio.Lock()
        self._opening: set[tuple[OwnerMark, int]] = set()

    def wake(self, _payload: str = "") -> None:
        """Look for guests without a link now."""
        self._wake.set()

    async def run(self) -> None:
        """Claim, hold and renew links for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reports.run())
                await self._start_holding()
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

    async def _start_holding(self) -> None:
        while True:
            try:
                async with self._database.connection() as connection:
                    await connection.execute(_HOLD, self._holder)
            except DatabaseUnavailable:
                await asyncio.sleep(POLL_S)
            else:
                return

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        limit = MAX_OPENING - len(self._opening)
        if limit <= 0:
            return
        async with self._claiming:
            try:
                async with self._database.connection() as connection:
                    rows = await connection.fetch(_CLAIM, self._holder, limit)
            except DatabaseUnavailable:
                return
            for row in rows:
                owner = OwnerMark(str(row["owner"]))
                agent = AgentAddress(owner, row["address"], self._port)
                link = _Link(owner, Vmid(row["vmid"]), agent, row["link_fence"])
                key = (owner, link.fence)
                self._opening.add(key)
                task = group.create_task(self._hold(link))
                self._tasks[key] = task
                task.add_done_callback(partial(self._forget_task, key))

    def _forget_task(self, key: tuple[OwnerMark, int], _task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._note_opened(key)

    def _note_opened(self, key: tuple[OwnerMark, int]) -> None:
        """Make room for another first stream."""
        if key in self._opening:
            self._opening.discard(key)
            self._wake.set()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._renew()
            except DatabaseUnavailable:
                continue

    async def _renew(self) -> None:
        """Go on holding, free what others have left, and let go of what we hold no more or have lost sight of."""
        async with self._database.connection() as connection:
            await connection.execute(_HOLD, self._holder)
            if await connection.fetchval(_IS_ONE_DEAD):
                await connection.execute(_FREE)
                await connection.execute(_FORGET_HOLDERS)
                self._wake.set()
            async with self._claiming:
                found = await connection.fetchrow(_COUNT_HELD, self._holder)
                assert found is not None
                if (found["links"], found["fences"]) == (len(self._tasks), sum(fence for _, fence in self._tasks)):
                    return
                rows = await connection.fetch(_HELD, self._holder)
                held = {(OwnerMark(str(row["owner"])), row["link_fence"]) for row in rows}
                for key in self._tasks.keys() - held:
                    self._tasks[key].cancel()
                # Claims whose answer was lost on its way, and releases that never came through.
                for owner, fence in held - self._tasks.keys():
                    await connection.execute(_RELEASE, UUID(owner), fence)

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
                    self._note_opened((link.owner, link.fence))
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
        told, pace = _Told(), _StreamPace()
        async with self._client.open_socket(
            link.agent, "/events", query=await intake.resume(), has_heartbeat=True
        ) as socket:
            log.info("agent.online", vmid=link.vmid)
            self._note_opened((link.owner, link.fence))
            try:
                while True:
                    raw = await _receive(socket)
                    costs = 1
                    if told.is_again(raw):
                        if told.is_worth_writing():
                            self._reports.note_heard(link.owner, link.fence)
                    else:
                        costs = await self._take(link, raw, told, intake, wakes)
                    await pace.wait(len(raw) * costs)
            except (WebSocketException, TimeoutError, OSError) as exc:
                if was_superseded(socket):
                    # Nobody is away: it is met again at once, by what it shows now.
                    return
                log.info("agent.offline", vmid=link.vmid, error=str(exc) or type(exc).__name__)
                await self._note_offline(link, "offline")

    async def _take(self, link: _Link, raw: bytes | str, told: _Told, intake: HistoryIntake, wakes: _Wakes) -> int:
        """Take one message that says something new; return how many times its bytes it has cost."""
        match parse_stream(raw):
            case StatusEvent(status=report):
                if report.owner != link.owner:
                    raise AgentNonsense("it speaks for another container")
                if told.moves(report):
                    await self._reports.write(link.owner, link.fence, report, wake_in=wakes.next_delay())
                else:
                    self._reports.write_soon(link.owner, link.fence, report)
                told.keep(raw, report)
                return NEWER_COSTS if report.protocol_version > PROTOCOL_VERSION else 1
            case HappeningsEvent() as event:
                await intake.take_happenings(event)
            case MetricsEvent(metrics=metrics):
                intake.take_sample(metrics)
            case None:
                # A newer agent says what only a newer API asks for; this one did not.
                pass
        return 1

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


class _StreamPace:
    """How fast the messages of one stream are taken."""

    def __init__(self) -> None:
        self._paid_until = 0.0

    async def wait(self, size: int) -> None:
        """Return when the next message may be taken after one of this size."""
        now = _now()
        cost_s = max(MIN_PAUSE_S, size / MAX_BYTES_PER_S)
        self._paid_until = pay(self._paid_until, cost_s, burst_s=IN_HAND_S, now=now)
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)


class _Told:
    """What a stream has reported last, as little of it as tells whether the next report is the same."""

    def __init__(self) -> None:
        self._rest: tuple[int, int] | None = None
        self._moved: _Moves | None = None
        self._written_at = 0.0

    def is_again(self, raw: bytes | str) -> bool:
        """Tell whether a message is the report that was kept last, but for the time that it was made."""
        return self._rest is not None and _rest_of(raw) == self._rest

    def is_worth_writing(self) -> bool:
        """Tell whether people should be told that the agent was heard once more."""
        now = _now()
        if now - self._written_at < HEARD_S:
            return False
        self._written_at = now
        return True

    def moves(self, report: AgentStatus) -> bool:
        """Tell whether a report may change the next step of its container."""
        return self._moved != _moves_of(report)

    def keep(self, raw: bytes | str, report: AgentStatus) -> None:
        """Keep what was reported."""
        self._moved = _moves_of(report)
        self._rest, self._written_at = _rest_of(raw), _now()


def _moves_of(report: AgentStatus) -> _Moves:
    """Return what of a report decides about a next step: how far the agent is, and which runs of addons are up."""
    runs: tuple[object, ...] = tuple(
        (addon.name, addon.state, addon.version, addon.started_at) for addon in report.addons[:MAX_ADDONS]
    )
    if report.game is not None:
        servers = [process for process in report.processes if process.name == SERVER]
        runs += tuple((each.state, each.ready, each.started_at) for each in servers[:1])
    return report.spec_generation, report.observed_generation, hash(runs)


def _rest_of(raw: bytes | str) -> tuple[int, int] | None:
    """Return what tells a report from others of another content, without the time that it was made; None for others.

    A quote inside of a text has a backslash before it, so the key is one wherever it is found.
    """
    key, quote = (_TIME_KEY, '"') if isinstance(raw, str) else (_TIME_KEY.encode(), b'"')
    at = raw.find(key)  # type: ignore[arg-type] # of the same kind as `raw`
    if at < 0:
        return None
    end = raw.find(quote, at + len(key))  # type: ignore[arg-type] # of the same kind as `raw`
    return hash(raw[:at]), hash(raw[end:])


async def _receive(socket: ClientConnection) -> bytes | str:
    """Return the next message; raise TimeoutError where the agent is not there."""
    asked_at = _now()
    while _now() - asked_at < SILENCE_S:
        try:
            async with asyncio.timeout(QUIET_S):
                return await socket.recv()
        except TimeoutError:
            async with asyncio.timeout(ANSWER_S):
                await (await socket.ping())
    raise TimeoutError


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Carries wishes to cut a port off to agents, within a second, and again until it is done or the guest is off.

An agent that lies or hangs keeps connections to its own container open, and nothing else: each call is bounded in time,
nobody waits for another's, and what is tried again never takes the place of what is new.
"""

from __future__ import annotations

import asyncio

import structlog

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused, decode_report
from zlh_api.containers.model import Guest
from zlh_api.containers.refusals import AgentTooOld
from zlh_api.cuts import store
from zlh_api.cuts.rules import CUTS_PORTS, find_fault, retry_after_s
from zlh_api.cuts.store import Cut
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.due import DueWork
from zlh_common.errors import ZlhError
from zlh_common.schema.ports import PortCut

log = structlog.get_logger()
# So many ports are cut at a time by one process, and of those so many that were tried before.
MOST_AT_ONCE, MOST_RETRIES = 128, 32
CALL_S = 5.0


class ConnectionCuts:
    """One for each API process; all take from the same list."""

    def __init__(self, database: Database, client: AgentClient, *, agent_port: int) -> None:
        self._database = database
        self._client = client
        self._port = agent_port
        self._due = DueWork(self._seconds_to_due, self._begin)
        self._group: asyncio.TaskGroup | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self, _payload: str = "") -> None:
        """Look for what is due now."""
        self._due.wake()

    async def run(self) -> None:
        """Make every cut that is due and nobody else makes, for ever."""
        async with asyncio.TaskGroup() as self._group:
            await self._due.run()

    async def _seconds_to_due(self) -> float | None:
        """Return in how long the next cut is due; None where none is."""
        async with self._database.connection() as connection:
            return await store.seconds_to_due(connection)

    async def _begin(self) -> None:
        assert self._group is not None
        room = MOST_AT_ONCE - len(self._under_way)
        if room <= 0:
            return
        async with self._database.connection() as connection:
            taken = await store.take(connection, limit=room, with_retries=len(self._under_way) < MOST_RETRIES)
        for cut in taken:
            task = self._group.create_task(self._make_unless_away(cut))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _make_unless_away(self, cut: Cut) -> None:
        # Its lease runs out where this fails, and it is taken again.
        try:
            await self._make(cut)
        except DatabaseUnavailable as error:
            log.warning("port.cut_put_off", owner=cut.owner, port=cut.port, error=error.detail)
        except Exception:
            # Whatever an agent made of it stays with its container.
            log.exception("port.cut_broke", owner=cut.owner, port=cut.port)
        # What follows is due sooner than the lease would have ended, and there is room for another.
        self.wake()

    async def _make(self, cut: Cut) -> None:
        try:
            ended = await self._ask(cut)
        except ZlhError as error:
            await self._put_off(cut, error)
            return
        log.info("port.cut", owner=cut.owner, port=cut.port, connections=ended)
        async with self._database.transaction() as connection:
            await store.finish(connection, cut.ids)
            await store.save_fault(connection, cut.owner, None)

    async def _ask(self, cut: Cut) -> int:
        if cut.address is None or cut.guest is not Guest.RUNNING:
            # What does not run has no connections.
            return 0
        if cut.protocol and cut.protocol < CUTS_PORTS:
            raise AgentTooOld("end connections")
        agent = AgentAddress(cut.owner, cut.address, self._port)
        answer = await self._client.call(agent, "POST", f"/ports/{cut.port}/cut", timeout_s=CALL_S)
        return decode_report(answer, PortCut).cut

    async def _put_off(self, cut: Cut, error: ZlhError) -> None:
        retry_in_s = retry_after_s(cut.attempts)
        code = error.agent_code if isinstance(error, AgentRefused) else error.code
        log.warning(
            "port.not_cut", owner=cut.owner, port=cut.port, code=code, error=error.detail, retry_in_s=retry_in_s
        )
        # A refusal stays one, and so does an old agent; whoever does not answer may do so in a moment.
        fault = find_fault(error.code, cut.attempts, passes=error.retryable)
        async with self._database.transaction() as connection:
            await store.put_off(connection, cut.ids, retry_in_s=retry_in_s)
            if fault is not None:
                await store.save_fault(connection, cut.owner, fault)

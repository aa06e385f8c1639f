"""The loop of each API process: looks how a roll-out goes, decides what follows, and tells agents.

A look is one transaction that holds the row of the roll-out, so of all processes one looks at a time, and what it
decides is on disk before anybody is told. Who was told and has not answered is told again, by whoever comes first; an
agent that is told twice does it once. Processes may end between any two lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused
from zlh_api.database.pool import Connection, Database, DatabaseUnavailable
from zlh_api.due import DueWork
from zlh_api.rollouts import store
from zlh_api.rollouts.model import Going, Order, Outcome, Verdict, WaveCount
from zlh_api.rollouts.outcome_rules import GAP, judge_refusal, judge_told, judge_waiting
from zlh_api.rollouts.wave_rules import TELLING, decide, first_state, is_below, needs_another_canary
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_update import StartAgentUpdate
from zlh_common.schema.rollouts import MemberState, RolloutState
from zlh_common.schema.structs import encode

log = structlog.get_logger()
Judged = TypeVar("Judged")
# How often one is looked at while somebody is under way, and while somebody is waited for.
LOOK_S, WAIT_S = 1.0, 10.0
# How often it is looked whether there are containers that are none of it yet.
SWEEP_S = 30.0
CALL_S = 10.0
# So many agents are told at a time by one process.
CALLS_AT_ONCE = 32
# Refusals that pass by themselves.
TRANSIENT = frozenset({408, 425, 429})
# So many that are busy are passed over in one look.
PASSED_OVER = 50


class RolloutWorker:
    """One for each API process; all take from the same rows."""

    def __init__(self, database: Database, client: AgentClient, *, agent_port: int) -> None:
        self._database = database
        self._client = client
        self._port = agent_port
        self._due = DueWork(self._seconds_to_due, self.look)
        self._group: asyncio.TaskGroup | None = None
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)

    def wake(self, _payload: str = "") -> None:
        """Look for what is due now."""
        self._due.wake()

    async def run(self) -> None:
        """Bring every roll-out to its end, for ever."""
        async with asyncio.TaskGroup() as self._group:
            await self._due.run()

    async def _seconds_to_due(self) -> float | None:
        async with self._database.connection() as connection:
            return await store.seconds_to_due(connection)

    async def look(self) -> None:
        """Look once, where that is due and nobody else does, and begin to tell whoever is to be told."""
        async with self._database.transaction() as connection:
            going = await store.fetch_newest(connection, only_due=True)
            orders = [] if going is None else await _look(connection, going)
        for order in orders:
            if self._group is not None:
                self._group.create_task(self._tell_unless_away(order))
            else:
                await self._tell_unless_away(order)

    async def _tell_unless_away(self, order: Order) -> None:
        try:
            async with self._places:
                await self._tell(order)
        except DatabaseUnavailable as error:
            # Its call is due again later.
            log.info("rollout.call_put_off", owner=order.owner, error=error.detail)
        except Exception:
            # Whatever a stranger makes of us stays with his container: its time runs out.
            log.exception("rollout.call_broke", owner=order.owner)

    async def _tell(self, order: Order) -> None:
        async with self._database.connection() as connection:
            if not await store.may_call(connection, order):
                return
        agent = AgentAddress(order.owner, order.address, self._port)
        body = encode(StartAgentUpdate(version=order.version, attempt=order.attempt))
        try:
            await self._client.call(agent, "POST", "/update", body=body, timeout_s=CALL_S)
        except AgentRefused as error:
            await self._note_refusal(order, error)
        except ZlhError as error:
            # It is told again, until its time is over.
            log.info("rollout.agent_not_told", owner=order.owner, code=error.code, error=error.detail)
        else:
            async with self._database.connection() as connection:
                await store.note_answer(connection, order)

    async def _note_refusal(self, order: Order, error: AgentRefused) -> None:
        if error.agent_status in TRANSIENT or error.agent_status >= 500:
            return
        outcome = judge_refusal(code=error.agent_code, detail=error.agent_detail, status=error.agent_status)
        log.warning("rollout.agent_refused", owner=order.owner, code=error.agent_code, error=error.detail)
        async with self._database.transaction() as connection:
            if await store.is_still_ordered(connection, order):
                await store.save_outcome(connection, order.rollout, order.owner, outcome)


async def _look(connection: Connection, going: Going) -> list[Order]:
    """Write down what has become of those under way, and what follows; return whom to tell."""
    now = await store.fetch_now(connection)
    if now - going.looked_at > GAP:
        await store.count_times_anew(connection, going.id)
    for told, sight in await store.fetch_under_way(connection, going.id):
        outcome = _guard(told.owner, partial(judge_told, told, sight, going.version, now=now))
        # Who was not reached before it was stopped is told behind that, and is not late.
        is_left = going.state not in TELLING and not told.has_answered and outcome.state is MemberState.FAILED
        if not is_left and (outcome.state is not told.state or outcome.silent_since != told.silent_since):
            await store.save_outcome(connection, going.id, told.owner, outcome)
            log.info("rollout.member", owner=told.owner, state=outcome.state, code=outcome.code)
    if going.state in TELLING and (now - going.swept_at).total_seconds() >= SWEEP_S:
        await _sweep(connection, going)
    counts = await store.fetch_counts(connection, going.id)
    if needs_another_canary(going, counts.get(0, WaveCount(0))):
        await store.swap_canary(connection, going.id)
        counts = await store.fetch_counts(connection, going.id)
    verdict = decide(going, counts, now=now)
    if verdict.state is RolloutState.HALTED and going.state is not RolloutState.HALTED:
        named = ", ".join(map(str, await store.fetch_failed(connection, going.id, limit=8)))
        verdict = Verdict(verdict.state, verdict.wave, None, f"{verdict.reason} Look at {named}.")
        log.error("rollout.halted", rollout=str(going.id), version=going.version, reason=verdict.reason)
    if verdict.room:
        await _choose(connection, going, verdict.room)
    under_way = sum(each.under_way for each in counts.values())
    due_in_s = 0.0 if verdict.wave != going.wave else _due_in_s(verdict, under_way + verdict.room)
    await store.save_verdict(connection, going, verdict, due_in_s=due_in_s)
    return await store.take_calls(connection, going) if verdict.state in TELLING else []


def _guard(owner: OwnerMark, judge: Callable[[], Judged]) -> Judged | Outcome:
    """Return what is judged of a member; whatever a stranger makes of us stays with his container."""
    try:
        return judge()
    except Exception:
        log.exception("rollout.member_broke", owner=owner)
        message = "What its agent tells could not be judged; the log of the API says more."
        return Outcome(MemberState.FAILED, code="rollout_broke", message=message)


async def _choose(connection: Connection, going: Going, room: int) -> None:
    """Write who is told now, at most so many; who is busy, or need not or cannot be told, makes room for others."""
    chosen: list[OwnerMark] = []
    busy: list[OwnerMark] = []
    for owner, sight in await store.fetch_next(connection, going, limit=room + PASSED_OVER):
        outcome = _guard(owner, partial(judge_waiting, sight, going.version))
        if outcome is None:
            busy.append(owner)
        elif outcome.state is not MemberState.UPDATING:
            await store.save_outcome(connection, going.id, owner, outcome)
        elif len(chosen) < room:
            chosen.append(owner)
    await store.put_off(connection, going.id, busy)
    await store.tell(connection, going.id, chosen)


async def _sweep(connection: Connection, going: Going) -> None:
    """Take in who is none of it yet, at its end, and look anew at who could not be told."""
    found = [each for each in await store.fetch_newcomers(connection, going) if is_below(each.version, going.version)]
    await store.insert_members(connection, going.id, [(each, going.last_wave, first_state(each)) for each in found])
    await store.refresh_unable(connection, going.id)
    await store.note_swept(connection, going.id)


def _due_in_s(verdict: Verdict, under_way: int) -> float | None:
    if verdict.state in TELLING:
        return LOOK_S if under_way else WAIT_S
    # Whoever was told comes to an end, and nobody waits for it.
    return WAIT_S if under_way else None

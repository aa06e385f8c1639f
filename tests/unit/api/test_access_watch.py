"""The list of what stays open: who is judged when, how many at a time, and what happens to the refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from zlh_api.customers.model import Caller, Membership
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web import access_watch
from zlh_api.web.access_watch import BATCH, AccessWatch, LongCall, take_turns
from zlh_api.web.endpoint import Passed, Policy
from zlh_api.web.gate import Renewed
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.permissions import Role

PATIENCE_S = 10


def person(customer: UUID) -> Passed:
    """Return somebody of a customer who has passed."""
    membership = Membership(customer, "theirs", Role.OWNER)
    return Passed(Caller(uuid4(), "x@example.org", is_operator=False, memberships=(membership,), by_cookie=True))


def name(passed: Passed) -> str:
    """Return what the database calls somebody."""
    assert passed.caller is not None
    return f"user {passed.caller.user_id}"


@dataclass
class Judge:
    """Answers when it may, and lets everybody pass who is not on its list."""

    batches: list[list[Passed]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_away: bool = False
    at_once: int = 0

    async def __call__(self, calls: Sequence[tuple[Policy, Passed]]) -> list[Renewed | ZlhError]:
        """Judge."""
        self.batches.append([passed for _, passed in calls])
        self.at_once += 1
        assert self.at_once == 1
        try:
            await self.may_answer.wait()
            if self.is_away:
                raise DatabaseUnavailable
            return [NotFound() if name(passed) in self.refused else Renewed(passed, None) for _, passed in calls]
        finally:
            self.at_once -= 1


@asynccontextmanager
async def running(judge: Judge) -> AsyncIterator[tuple[AccessWatch, Callable[[Passed], None]]]:
    """Run a list; yields it and what opens one more call on it."""
    watch = AccessWatch(judge, look_again_s=3600)
    worker = asyncio.create_task(watch.run())
    tasks: list[asyncio.Task[None]] = []

    async def stay(passed: Passed) -> None:
        with suppress(NotFound):
            async with watch.watching(Policy.SIGNED_IN, passed, cut=lambda: None):
                await asyncio.Event().wait()

    try:
        yield watch, lambda passed: tasks.append(asyncio.create_task(stay(passed)))
    finally:
        for task in [*tasks, worker]:
            task.cancel()
        await asyncio.gather(*tasks, worker, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0)


async def test_a_crowd_is_judged_by_one_worker_and_delays_nobody_else() -> None:
    """Five hundred of one customer take five looks, one after the other; another customer's is in the first of them."""
    judge, crowd, other = Judge(), uuid4(), person(uuid4())
    judge.may_answer.set()
    people = [person(crowd) for _ in range(500)]
    async with running(judge) as (watch, open_one):
        for passed in [*people, other]:
            open_one(passed)
        await until(lambda: watch.count == 501 and not watch._due)
        judge.batches.clear()
        judge.refused = {name(passed) for passed in [*people, other]}
        watch.note_change(f"customer {crowd}")
        watch.note_change(name(other))
        await until(lambda: not watch.count)
        assert other in judge.batches[0]
        assert [len(batch) for batch in judge.batches] == [BATCH] * 5 + [1]


async def test_what_is_told_many_times_is_judged_once_more() -> None:
    """News that come while a judgement is under way are answered by the next one, and by that alone."""
    judge, somebody = Judge(), person(uuid4())
    async with running(judge) as (watch, open_one):
        open_one(somebody)
        await until(lambda: len(judge.batches) == 1)
        for _ in range(100):
            watch.note_change(name(somebody))
        (call,) = watch._open
        judge.may_answer.set()
        async with asyncio.timeout(PATIENCE_S):
            await call.wait_certain()
        assert len(judge.batches) == 2


async def test_an_answer_to_an_older_question_makes_nothing_certain() -> None:
    """A judgement that was begun before the news may not know of them."""
    judge, somebody = Judge(), person(uuid4())
    async with running(judge) as (watch, open_one):
        open_one(somebody)
        await until(lambda: len(judge.batches) == 1)
        watch.note_change(name(somebody))
        (call,) = watch._open
        judge.may_answer.set()
        await until(lambda: len(judge.batches) == 2 or not call.is_doubted)
        assert len(judge.batches) == 2


async def test_nobody_is_refused_while_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is due is asked for again until there is an answer, a few times a second, and then ends."""
    monkeypatch.setattr(access_watch, "RETRY_S", 0.001)
    judge, somebody = Judge(is_away=True), person(uuid4())
    judge.may_answer.set()
    async with running(judge) as (watch, open_one):
        open_one(somebody)
        judge.refused.add(name(somebody))
        await until(lambda: len(judge.batches) == 5)
        assert watch.count == 1
        judge.is_away = False
        await until(lambda: not watch.count)
    assert not watch._by_name
    assert not watch._due


async def test_what_breaks_in_the_judge_is_not_passed_over() -> None:
    """A list that judges nobody any more would leave everything open: its process ends instead."""

    async def broken(_calls: object) -> list[Renewed | ZlhError]:
        raise ZeroDivisionError

    watch = AccessWatch(broken)
    async with watch.watching(Policy.SIGNED_IN, person(uuid4()), cut=lambda: None):
        with pytest.raises(ZeroDivisionError):
            await watch.run()


async def test_a_handler_that_holds_on_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection goes, however long it takes to end."""
    monkeypatch.setattr(access_watch, "LET_GO_S", 0.0)
    judge, somebody, cut = Judge(refused=set()), person(uuid4()), asyncio.Event()
    judge.refused.add(name(somebody))
    judge.may_answer.set()
    watch = AccessWatch(judge)
    worker = asyncio.create_task(watch.run())
    with suppress(NotFound):
        async with watch.watching(Policy.SIGNED_IN, somebody, cut=cut.set):
            try:
                await asyncio.Event().wait()
            finally:
                async with asyncio.timeout(PATIENCE_S):
                    await cut.wait()
    assert cut.is_set()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def test_turns() -> None:
    """The first of each customer comes before the second of any; of whom a change is told before who is just due."""
    customers = [uuid4(), uuid4()]
    calls = [LongCall(Policy.VIEW_CUSTOMER, person(customers[0]), lambda: None) for _ in range(4)]
    calls += [LongCall(Policy.VIEW_CUSTOMER, person(customers[1]), lambda: None)]
    turns = {calls[0]: "a", calls[1]: "b", calls[2]: "c", calls[3]: "d", calls[4]: "e"}
    for call in calls:
        call.ask(is_told=call in calls[1:])
    assert "".join(turns[call] for call in take_turns(calls, 5)) == "beacd"
    assert "".join(turns[call] for call in take_turns(calls, 2)) == "be"

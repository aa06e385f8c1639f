"""What stays open is judged again: consoles, streams and uploads end the moment that their caller may no longer.

Every call that lasts is on this list from before its handler begins until after it has ended; the server puts it there
(`server.py`), and begins no answer that goes on for a caller who is not on it.

- The database tells of every change of who may what, by the user or the customer that it is about; their calls are
  judged at once, and until they have been, their handlers do nothing for them (`Call.wait_certain`).
- Whoever is put on the list is judged once more: what was told between the gate and the list was heard by nobody.
- After the connection that listens was lost everybody is judged, and beyond that every call once in a while.
- A session or token that has an end is judged at that end, by the database's clock.
- While the database is away nobody is judged and nothing ends; what is due is judged RETRY_S after it is back.

Calls are judged by one worker, up to BATCH in one look, so a crowd takes one connection and no more. The first of each
customer comes before the second of any, so nobody's changes hold up the judgement of others, however many they are.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from zlh_api.customers.model import Caller
from zlh_api.web.endpoint import Passed, Policy
from zlh_api.web.gate import Renewed
from zlh_common.errors import ZlhError

log = structlog.get_logger()
BATCH = 100
RETRY_S = 0.25
# The second line, for news that never came.
LOOK_AGAIN_S = 20.0
# So long may a call take to say goodbye; then its connection is cut, whatever still waits to be sent.
LET_GO_S = 0.5

Judge = Callable[[Sequence[tuple[Policy, Passed]]], Awaitable[list[Renewed | ZlhError]]]


class LongCall:
    """One call on the list."""

    def __init__(self, policy: Policy, passed: Passed, cut: Callable[[], None]) -> None:
        self.policy = policy
        self.passed = passed
        self.refusal: ZlhError | None = None
        self.on_change: Callable[[], None] | None = None
        self._cut = cut
        # The handler runs within; it is cancelled by letting its time run out.
        self.scope = asyncio.timeout(None)
        # How often it was due to be judged, how often when a change was told, and how much of that is answered.
        self.asked = self._told = self._answered = 0
        self._certain = asyncio.Event()
        self._certain.set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def turn(self) -> UUID:
        """For which customer it takes its turn: that of the container, else the caller's first."""
        if self.passed.container is not None:
            return self.passed.container.customer_id
        if self.passed.customer is not None:
            return self.passed.customer.id
        return next((entry.customer_id for entry in self._caller.memberships), self._caller.user_id)

    @property
    def is_doubted(self) -> bool:
        """Whether a change was told that is not answered yet."""
        return self._answered < self._told

    def names(self) -> set[str]:
        """Return what the database calls all that this call depends on."""
        customers = {entry.customer_id for entry in self._caller.memberships}
        customers |= {self.passed.container.customer_id} if self.passed.container is not None else set()
        customers |= {self.passed.customer.id} if self.passed.customer is not None else set()
        return {f"user {self._caller.user_id}", *(f"customer {customer}" for customer in customers)}

    @property
    def _caller(self) -> Caller:
        assert self.passed.caller is not None
        return self.passed.caller

    def ask(self, *, is_told: bool) -> None:
        """Note that it has to be judged."""
        self.asked += 1
        if is_told:
            self._told = self.asked
            self._certain.clear()

    def answer(self, asked: int) -> None:
        """Note a judgement that was begun when it had been asked for so often."""
        self._answered = max(self._answered, asked)
        if not self.is_doubted:
            self._certain.set()

    async def wait_certain(self) -> None:
        """See Call."""
        await self._certain.wait()

    def renew(self, passed: Passed, asked: int) -> None:
        """Take a good judgement, as `answer` does, and say so where the caller has changed."""
        before, self.passed = self.passed.caller, passed
        if self.on_change is not None and _rights_of(passed.caller) != _rights_of(before):
            self.on_change()
        self.answer(asked)

    def refuse(self, error: ZlhError) -> None:
        """End it: its handler is cancelled now, and its connection cut if that is not enough."""
        self.refusal = error
        loop = asyncio.get_running_loop()
        self.scope.reschedule(loop.time())
        loop.call_later(LET_GO_S, self._cut)

    def set_timer(self, delay_s: float, due: Callable[[], None]) -> None:
        """Have `due` called after so long, in place of what was set before."""
        self.clear_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, due)

    def clear_timer(self) -> None:
        """Have nothing called."""
        if self._timer is not None:
            self._timer.cancel()


def _rights_of(caller: Caller | None) -> object:
    """Return what decides what a caller may do and know; names and passwords change nothing of it."""
    if caller is None:
        return None
    roles = [(entry.customer_id, entry.role, entry.is_suspended) for entry in caller.memberships]
    return caller.is_operator, caller.scope, caller.bound_to, roles


def take_turns(due: Iterable[LongCall], count: int) -> list[LongCall]:
    """Return who is judged next: the first of each customer before the second of any, doubted ones before others."""
    ranks: list[tuple[int, bool, int, LongCall]] = []
    before: Counter[tuple[bool, UUID]] = Counter()
    for number, call in enumerate(due):
        key = (not call.is_doubted, call.turn)
        ranks.append((before[key], key[0], number, call))
        before[key] += 1
    return [call for *_, call in sorted(ranks, key=lambda rank: rank[:3])[:count]]


class AccessWatch:
    """The list of one API process. Its owner runs `run` in a task."""

    def __init__(self, judge: Judge, *, look_again_s: float = LOOK_AGAIN_S) -> None:
        self._judge = judge
        self._look_again_s = look_again_s
        self._open: set[LongCall] = set()
        self._by_name: defaultdict[str, set[LongCall]] = defaultdict(set)
        # In the order in which they fell due.
        self._due: dict[LongCall, None] = {}
        self._woken = asyncio.Event()

    @property
    def count(self) -> int:
        """How many calls are open."""
        return len(self._open)

    @asynccontextmanager
    async def watching(self, policy: Policy, passed: Passed, *, cut: Callable[[], None]) -> AsyncIterator[LongCall]:
        """Keep a call on the list for the length of the block.

        Once its caller may no longer, the block is cancelled and the refusal raised in its place; `cut` is called
        LET_GO_S later, whether the block has ended or not.
        """
        call = LongCall(policy, passed, cut)
        self._open.add(call)
        self._enter(call)
        self._ask(call)
        try:
            async with call.scope:
                yield call
        except TimeoutError:
            if call.refusal is None:
                raise
            raise call.refusal from None
        finally:
            self._open.discard(call)
            self._due.pop(call, None)
            self._leave(call)
            call.clear_timer()

    def note_change(self, name: str) -> None:
        """Take the news that something has changed about a user or a customer: 'user <id>' or 'customer <id>'."""
        for call in self._by_name.get(name, ()):
            self._ask(call, is_told=True)

    def note_all(self) -> None:
        """Take it that news may have been missed."""
        for call in self._open:
            self._ask(call)

    async def run(self) -> None:
        """Judge whoever is due, for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while batch := take_turns(self._due, BATCH):
                if not await self._judge_all(batch):
                    await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    def _ask(self, call: LongCall, *, is_told: bool = False) -> None:
        if call.refusal is None:
            call.ask(is_told=is_told)
            self._due[call] = None
            self._woken.set()

    async def _judge_all(self, batch: Sequence[LongCall]) -> bool:
        """Judge these; False where the database cannot tell at the moment."""
        asked = [call.asked for call in batch]
        try:
            verdicts = await self._judge([(call.policy, call.passed) for call in batch])
        except ZlhError as error:
            if not error.retryable:
                raise
            log.warning("access.unknown", calls=len(self._due), error=error.code)
            return False
        for call, seen, verdict in zip(batch, asked, verdicts, strict=True):
            if call in self._open:
                self._take(call, seen, verdict)
        return True

    def _take(self, call: LongCall, asked: int, verdict: Renewed | ZlhError) -> None:
        if call.asked == asked or isinstance(verdict, ZlhError):
            self._due.pop(call, None)
        if isinstance(verdict, ZlhError):
            log.info("access.ended", code=verdict.code, told=call.is_doubted)
            call.clear_timer()
            # Its handler is not told that all is certain: it is cancelled where it waits.
            call.refuse(verdict)
            return
        self._leave(call)
        call.renew(verdict.passed, asked)
        self._enter(call)
        again_s = self._look_again_s * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        lasts_s = again_s if verdict.lasts_s is None else verdict.lasts_s
        call.set_timer(max(0.0, min(again_s, lasts_s)), lambda: self._ask(call))

    def _enter(self, call: LongCall) -> None:
        for name in call.names():
            self._by_name[name].add(call)

    def _leave(self, call: LongCall) -> None:
        for name in call.names():
            self._by_name[name].discard(call)
            if not self._by_name[name]:
                del self._by_name[name]

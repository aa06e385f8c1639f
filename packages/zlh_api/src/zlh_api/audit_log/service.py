"""The audit log: an act is written down before it is carried out, and becomes an entry when it is known how it ended.

    begin ──► acts_begun ──► finish: one transaction appends the entry and takes the begun act away
                   │
                   └── the process dies: whoever notices that appends the entry, with the outcome `unknown`

So there is no moment at which a process can die and an act be without a trace. What is refused before it begins is an
entry at once, as often as its caller's allowance lasts; what is beyond that is counted, and the count is told by the
next entry of the same caller.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID, uuid4

import structlog

from zlh_api.audit_log import rules, store
from zlh_api.audit_log.chain import ChainCheck, Flaw, render_time
from zlh_api.audit_log.model import Act, Ending, Entry, Head, Wanted
from zlh_api.audit_log.refusals import LEFT_OUT, Refusals
from zlh_api.database.pool import Connection, Database, DatabaseUnavailable, is_away
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.audit_log import Outcome

log = structlog.get_logger()
RENEW_S = 5.0
# How soon it is tried again to write down how an act ended while the database was away.
AGAIN_S = 1.0
# So old is an act of ours that we do not know of: its beginning was given up, or its end was never told.
LOST_S = 60.0
SWEEP_ROWS = 100
# A process that stops waits so long for acts to be written down.
CLOSE_S = 5.0
VERIFY_ROWS = 500
UNKNOWN = Ending(Outcome.UNKNOWN)
_NO_DETAILS: Mapping[str, object] = MappingProxyType({})
_NO_ANCHORS: Mapping[UUID, Mapping[int, bytes]] = MappingProxyType({})


class ActNotRecorded(ZlhError):
    """The act could not be written down, so it is not carried out."""

    code, status, retryable = "act_not_recorded", 503, True

    def __init__(self) -> None:
        super().__init__("The audit log cannot be written at the moment, so nothing was done. Try again.")


class AuditLog:
    """Writes down what people do. `run` must run, or what dies is never told."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._holder = uuid4()
        # Acts that are carried out here at this moment.
        self._under_way: set[UUID] = set()
        # How acts ended that could not be written down yet.
        self._unsaid: dict[UUID, tuple[Act, Ending]] = {}
        self._saying: set[asyncio.Task[None]] = set()
        self._refusals = Refusals()
        self._wake = asyncio.Event()

    # What is done

    async def begin(self, begun: UUID, act: Act) -> None:
        """Write down that an act begins; raise DatabaseUnavailable or ActNotRecorded, and it must not be done."""
        async with self._database.connection() as connection:
            if not await store.insert_begun(connection, begun, self._holder, act):
                await store.hold(connection, self._holder)
                if not await store.insert_begun(connection, begun, self._holder, act):
                    raise ActNotRecorded
        self._under_way.add(begun)

    async def change(self, begun: UUID, act: Act) -> None:
        """Write down what an act has turned out to be about, before it is carried out; raises as `begin` does."""
        async with self._database.connection() as connection:
            if not await store.update_begun(connection, begun, act):
                raise ActNotRecorded

    async def follow(self, begun: UUID, act: Act, ending: Ending, following: Act) -> None:
        """Append an entry, and write down that what follows it begins; raises as `begin` does."""
        async with self._database.transaction() as connection:
            if not await store.update_begun(connection, begun, following):
                raise ActNotRecorded
            await store.append(connection, act, ending)

    async def finish(self, begun: UUID, act: Act, ending: Ending, *, source: str | None = None) -> None:
        """Append the entry of an act that was begun; while the database is away, that is done later.

        It is done to the end whoever calls it off. One that was refused is counted for `source`, as in `refuse`.
        """
        if source is not None and ending.outcome is Outcome.REFUSED:
            left_out = self._refusals.admit(source, act, self._clock.monotonic())
            task = asyncio.create_task(self._finish_refused(begun, act, ending, left_out))
        else:
            task = asyncio.create_task(self._finish(begun, act, ending))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)
        await asyncio.shield(task)

    async def _finish(self, begun: UUID, act: Act, ending: Ending) -> None:
        try:
            with _broken_told(act):
                async with self._database.transaction() as connection:
                    await _append_once(connection, begun, act, ending)
        except DatabaseUnavailable:
            self._unsaid[begun] = (act, ending)
            self._wake.set()
            log.warning("audit_log.entry_late", act=act.word)
            return
        self._under_way.discard(begun)

    async def _finish_refused(self, begun: UUID, act: Act, ending: Ending, left_out: int | None) -> None:
        """Append the entry, or where its source has no more, none."""
        if left_out is not None:
            details = rules.add_note(act.details, LEFT_OUT, left_out) if left_out else act.details
            await self._finish(begun, replace(act, details=details), ending)
            return
        try:
            async with self._database.connection() as connection:
                await store.drop_begun(connection, begun)
        except DatabaseUnavailable:
            # What cannot be taken away is told.
            await self._finish(begun, act, ending)
        else:
            self._under_way.discard(begun)

    async def refuse(self, act: Act, ending: Ending, source: str) -> None:
        """Append the entry of an act that never began; `source` is who is counted for it."""
        left_out = self._refusals.admit(source, act, self._clock.monotonic())
        if left_out is None:
            return
        details = rules.add_note(act.details, LEFT_OUT, left_out) if left_out else act.details
        async with self._database.transaction() as connection:
            await store.append(connection, replace(act, details=details), ending)

    @asynccontextmanager
    async def command(self, word: str, details: Mapping[str, object] = _NO_DETAILS) -> AsyncIterator[None]:
        """Record a command that somebody gives on this machine, and who that is there, for the length of the block."""
        async with self.own_act(word, {**details, "account": getpass.getuser()}):
            yield

    @asynccontextmanager
    async def own_act(self, word: str, details: Mapping[str, object]) -> AsyncIterator[None]:
        """Record what the platform does by itself, or for somebody on its machine, for the length of the block."""
        noted: dict[str, str] = {}
        for name, value in details.items():
            noted = rules.add_note(noted, name, value)
        begun, act = uuid4(), Act(word, details=noted)
        await self.begin(begun, act)
        ending = UNKNOWN
        try:
            yield
            ending = Ending(Outcome.DONE)
        except ZlhError as error:
            ending = rules.ending_of(error)
            raise
        finally:
            await self.finish(begun, act, ending)

    # What is left over

    async def run(self) -> None:
        """Be known as alive, write down what could not be written, and tell what others have left; until cancelled."""
        while True:
            try:
                await self.renew()
            except DatabaseUnavailable:
                log.info("audit_log.database_away", unsaid=len(self._unsaid))
            self._wake.clear()
            try:
                async with asyncio.timeout(RENEW_S):
                    await self._wake.wait()
                await self._clock.sleep(AGAIN_S)
            except TimeoutError:
                pass

    async def renew(self) -> None:
        """Do once what `run` does again and again."""
        async with self._database.connection() as connection:
            await store.hold(connection, self._holder)
            await self._say_unsaid(connection)
            while await self._end_left(connection) == SWEEP_ROWS:
                pass
            for act, ending in self._refusals.collect(self._clock.monotonic()):
                async with connection.transaction():
                    await store.append(connection, act, ending)
            await store.forget_holders(connection)

    async def _end_left(self, connection: Connection) -> int:
        """Tell of some of those that nobody will end any more; return how many were told."""
        left = await store.find_left(connection, limit=SWEEP_ROWS)
        if len(left) < SWEEP_ROWS:
            known, limit = list(self._under_way), SWEEP_ROWS - len(left)
            left += await store.find_lost(connection, self._holder, known=known, older_s=LOST_S, limit=limit)
        return sum([await self._end(connection, begun) for begun in left])

    async def _say_unsaid(self, connection: Connection) -> None:
        for begun, (act, ending) in list(self._unsaid.items()):
            with _broken_told(act):
                async with connection.transaction():
                    await _append_once(connection, begun, act, ending)
            self._unsaid.pop(begun, None)
            self._under_way.discard(begun)

    async def _end(self, connection: Connection, begun: store.Begun) -> bool:
        """Append the entry of an act of which nobody knows how it ended; False where another one has."""
        details, told = rules.add_note(begun.act.details, "begun", render_time(begun.at)), False
        with _broken_told(begun.act):
            async with connection.transaction():
                told = await store.append(connection, replace(begun.act, details=details), UNKNOWN, begun=begun.id)
        if told:
            log.warning("audit_log.outcome_unknown", act=begun.act.word, of_request=begun.act.request_id)
        return told

    async def close(self) -> None:
        """Write down what is still to be said, and be gone."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*self._saying, return_exceptions=True)
                async with self._database.connection() as connection:
                    await self._say_unsaid(connection)
                    for act, ending in self._refusals.collect(float("inf")):
                        async with connection.transaction():
                            await store.append(connection, act, ending)
                    await store.let_go(connection, self._holder)
        except (DatabaseUnavailable, TimeoutError):
            log.warning("audit_log.left_unsaid", acts=len(self._unsaid))

    # What is asked

    async def fetch(self, wanted: Wanted) -> list[Entry]:
        """Return entries, newest first."""
        async with self._database.connection() as connection:
            return await store.fetch_entries(connection, wanted)

    async def fetch_heads(self, chain: UUID | None = None) -> list[Head]:
        """Return where each chain ends, or that one."""
        async with self._database.connection() as connection:
            return await store.fetch_heads(connection, chain)

    async def verify(
        self, chain: UUID | None = None, anchors: Mapping[UUID, Mapping[int, bytes]] = _NO_ANCHORS
    ) -> tuple[int, list[Flaw]]:
        """Look at every entry as of one moment; return how many there are, and of each chain the first flaw.

        `anchors` are hashes that were noted elsewhere, by chain and number.
        """
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            heads = {head.chain: head for head in await store.fetch_heads(connection)}
            chains = [chain] if chain is not None else sorted({*await store.fetch_chains(connection), *anchors})
            looked, flaws = 0, []
            for each in chains:
                check = ChainCheck(each, anchors.get(each, {}))
                async for entry in store.read_chain(connection, each, batch=VERIFY_ROWS):
                    check.take(entry)
                    looked += 1
                if flaw := check.finish(heads.get(each)):
                    flaws.append(flaw)
        return looked, flaws


@contextmanager
def _broken_told(act: Act) -> Iterator[None]:
    """Log what nobody foresaw about one entry, which keeps no other from being told; it is tried again later."""
    try:
        yield
    except Exception as exc:
        if isinstance(exc, DatabaseUnavailable) or is_away(exc):
            raise
        log.exception("audit_log.entry_broke", act=act.word)


async def _append_once(connection: Connection, begun: UUID, act: Act, ending: Ending) -> None:
    """Append the entry of a begun act, unless an earlier try came through whose answer was lost."""
    if await store.append(connection, act, ending, begun=begun):
        return
    if await store.is_told_unknown(connection, act):
        # We were taken for dead, and the log says that nobody knows how this ended. Now somebody does.
        late = rules.add_note(act.details, "late", "true")
        await store.append(connection, replace(act, details=late), ending)

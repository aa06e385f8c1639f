"""Connections to PostgreSQL: one pool for queries, one connection that listens, and one name for "it is not there"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import asyncpg
import msgspec
import structlog
from asyncpg.pool import PoolConnectionProxy

from zlh_common.errors import ZlhError

log = structlog.get_logger()
Connection = asyncpg.Connection | PoolConnectionProxy
ACQUIRE_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 15
RECONNECT_S = 0.5
# A connection that only listens would not notice that nobody speaks at its other end any more.
LISTEN_PROOF_S = 5
# Beginnings of SQLSTATE that tell about the server and not about the statement: connection, a standby that only reads,
# who may connect and to what, a transaction that lost against another, resources, operator, system.
_AWAY = ("08", "25006", "28", "3D", "40", "53", "57", "58")


class DatabaseUnavailable(ZlhError):
    """The database does not answer."""

    code, status, retryable = "database_unavailable", 503, True

    def __init__(self) -> None:
        super().__init__("The database does not answer at the moment. Try again in a few seconds.")


def is_away(exc: Exception) -> bool:
    """Tell whether an exception means that the server is away, is starting, is stopping or is full."""
    if isinstance(exc, asyncpg.PostgresError):
        return (exc.sqlstate or "").startswith(_AWAY)
    # A connection that is lost inside a transaction is also an InterfaceError or an InternalClientError ("cannot switch
    # to state 15"): whatever asyncpg does next stumbles over the wreck.
    return isinstance(exc, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError)


@asynccontextmanager
async def database_errors() -> AsyncIterator[None]:
    """Turn "the server is away" in all its shapes into DatabaseUnavailable."""
    try:
        yield
    except Exception as exc:
        if not is_away(exc):
            raise
        raise DatabaseUnavailable from exc


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How a pool stands, and how often since its beginning nobody was there."""

    used: int
    idle: int
    limit: int
    failures: int


@dataclass(frozen=True, slots=True)
class _Joined:
    """A transaction that everything takes part in that its task does."""

    database: Database
    task: asyncio.Task[object] | None
    connection: PoolConnectionProxy


_JOINED: ContextVar[_Joined | None] = ContextVar("joined", default=None)


class Database:
    """A pool that can be opened before the server is there, and that outlives its restarts."""

    def __init__(self, dsn: str, *, max_connections: int = 16) -> None:
        self._dsn = dsn
        self._max = max_connections
        self._pool: asyncpg.Pool | None = None
        self._failures = 0
        self._opening = asyncio.Lock()
        # What is joined lasts as long as its caller, which waits for more than the database; it never takes all.
        self._joining = asyncio.Semaphore(max(1, max_connections // 2))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnectionProxy]:
        """Lend a connection outside of any transaction; raise DatabaseUnavailable where there is none."""
        try:
            async with database_errors():
                joined = _JOINED.get()
                if joined is not None and joined.database is self and joined.task is asyncio.current_task():
                    # A statement that fails would end the whole transaction, and not itself alone.
                    async with joined.connection.transaction():
                        yield joined.connection
                    return
                pool = await self._open_pool()
                async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                    yield connection
        except DatabaseUnavailable:
            self._failures += 1
            raise

    @property
    def figures(self) -> PoolFigures:
        """How the pool stands now."""
        size = self._pool.get_size() if self._pool is not None else 0
        idle = self._pool.get_idle_size() if self._pool is not None else 0
        return PoolFigures(used=size - idle, idle=idle, limit=self._max, failures=self._failures)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[PoolConnectionProxy]:
        """Lend a transaction in which all takes part that the same task does with this pool inside the block.

        What is a transaction inside is a savepoint then: it can fail alone, and is committed with all the rest.
        """
        async with self._place_to_join(), self.transaction() as connection:
            before = _JOINED.set(_Joined(self, asyncio.current_task(), connection))
            try:
                yield connection
            finally:
                _JOINED.reset(before)

    @asynccontextmanager
    async def _place_to_join(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._joining.acquire()
        except TimeoutError as exc:
            raise DatabaseUnavailable from exc
        try:
            yield
        finally:
            self._joining.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnectionProxy]:
        """Lend a connection inside a transaction, committed when the block ends without an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def listen(self, channels: dict[str, Callable[[str], None]], *, on_connect: Callable[[], None]) -> None:
        """Call `channels[name](payload)` for every notification, for ever; reconnects by itself.

        `on_connect` is called after each (re)connection, because what was notified meanwhile is lost.
        """
        while True:
            try:
                await self._listen_once(channels, on_connect)
            except Exception as exc:
                if not is_away(exc):
                    raise
                log.warning("database.listen_lost", error=str(exc) or type(exc).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self, channels: dict[str, Callable[[str], None]], on_connect: Callable[[], None]) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=ACQUIRE_TIMEOUT_S)
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: closed.set())
            for name, receive in channels.items():
                await connection.add_listener(name, _receiver(receive))
            on_connect()
            while not await _wait_within(closed, LISTEN_PROOF_S):
                await connection.execute("select 1", timeout=LISTEN_PROOF_S)
        finally:
            connection.terminate()

    async def _open_pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    # The pool is made without a connection, so that it can be made while the server is away.
                    min_size=0,
                    max_size=self._max,
                    timeout=ACQUIRE_TIMEOUT_S,
                    command_timeout=COMMAND_TIMEOUT_S,
                    init=_prepare,
                    reset=_reset,
                )
            return self._pool

    async def close(self) -> None:
        """Close every connection; a query that runs is cut after five seconds."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _wait_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Return whether an event has come within this time."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _receiver(receive: Callable[[str], None]) -> Callable[..., None]:
    def on_notify(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        receive(str(payload))

    return on_notify


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )


async def _reset(_connection: asyncpg.Connection) -> None:
    """Send nothing when a connection comes back: asyncpg's own query would be a round trip for each loan.

    What is open is rolled back all the same, and no statement of ours leaves settings, cursors or locks behind.
    """

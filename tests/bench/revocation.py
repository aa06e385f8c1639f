"""From the commit that takes a right away to the last of what was open by it being closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from bench.measure import Case, Row, Run, Samples, at_most
from bench.real_agent import RealAgent
from bench.real_api import RealApi
from zlh_api.customers.secret import token_digest
from zlh_common.schema.console_wire import SUBPROTOCOL

CROWDS = (1, 100, 500)
# A customer may have no more viewers than this; the rest of a crowd are live streams.
MOST_CONSOLES = 180
PER_TERMINAL = 60
# Nobody may have so much open that one user would do.
LEAVERS = 25
_TAKE = "update users set suspended_at = now() where email like 'leaver-%'"
_GIVE_BACK = "update users set suspended_at = null where email like 'leaver-%'"
PATIENCE_S = 60.0


async def _add_leavers(connection: asyncpg.Connection, customer: UUID) -> list[str]:
    """Add those whose right is taken, each with a token; return the tokens."""
    tokens = [f"leaver-{number}" for number in range(LEAVERS)]
    for token in tokens:
        user = uuid4()
        await connection.execute(
            "insert into users (id, email, password_hash) values ($1, $2 || '@example.org', 'none')", user, token
        )
        await connection.execute(
            "insert into memberships (customer_id, user_id, role) values ($1, $2, 'member')", customer, user
        )
        await connection.execute(
            "insert into api_tokens (id, token_sha256, user_id, name) values ($1, $2, $3, 'x')",
            uuid4(),
            token_digest(token),
            user,
        )
    return tokens


class _Crowd:
    """What is open by the leavers' tokens."""

    def __init__(self, session: aiohttp.ClientSession, tokens: list[str]) -> None:
        self._session = session
        self._tokens = tokens
        self._scope = AsyncExitStack()
        self._ends: list[asyncio.Task[float]] = []

    async def open(self, count: int, consoles: list[str]) -> None:
        """Open so many: consoles first, then streams."""
        for number in range(count):
            headers = {"Authorization": f"Bearer {self._tokens[number % LEAVERS]}"}
            if number < MOST_CONSOLES:
                await self._open_console(headers, consoles[number // PER_TERMINAL])
            else:
                await self._open_stream(headers)

    async def _open_console(self, headers: dict[str, str], path: str) -> None:
        opening = self._session.ws_connect(path, protocols=[SUBPROTOCOL], headers=headers)
        socket = await self._scope.enter_async_context(opening)
        self._ends.append(asyncio.create_task(_end_of_socket(socket)))

    async def _open_stream(self, headers: dict[str, str]) -> None:
        answer = await self._scope.enter_async_context(self._session.get("/api/events", headers=headers))
        answer.raise_for_status()
        self._ends.append(asyncio.create_task(_end_of_stream(answer)))

    async def last_end(self) -> float:
        """Return when the last of them ended."""
        async with asyncio.timeout(PATIENCE_S):
            return max(await asyncio.gather(*self._ends))

    async def close(self) -> None:
        """Let go."""
        await self._scope.aclose()


async def _end_of_socket(socket: aiohttp.ClientWebSocketResponse) -> float:
    async for _ in socket:
        pass
    ended = time.perf_counter()
    if socket.close_code != aiohttp.WSCloseCode.POLICY_VIOLATION:
        raise RuntimeError(f"a console was closed with {socket.close_code}")
    return ended


async def _end_of_stream(answer: aiohttp.ClientResponse) -> float:
    async for _ in answer.content:
        pass
    return time.perf_counter()


@asynccontextmanager
async def _served(run: Run) -> AsyncIterator[tuple[RealApi, asyncpg.Connection, list[str]]]:
    """Run an API before a real agent with as many terminals as the largest crowd takes; yields their paths."""
    agent = RealAgent.make(run)
    api = RealApi.make(run, agent)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(api.database())
        vmid = await api.add_agent(connection, agent)
        await stack.enter_async_context(agent.started())
        await stack.enter_async_context(api.started())
        direct = await stack.enter_async_context(agent.client())
        stack.push_async_callback(agent.close_terminals)
        terminals = [await agent.open_terminal(direct) for _ in range(MOST_CONSOLES // PER_TERMINAL)]
        yield api, connection, [f"/api/containers/{vmid}/terminals/{each}" for each in terminals]


async def revocation(run: Run) -> list[Row]:
    """Milliseconds from the commit that suspends users to the last of their open consoles and streams being closed."""
    crowds = run.choose(CROWDS, CROWDS[:2])
    samples = Samples()
    async with _served(run) as (api, connection, consoles):
        tokens = await _add_leavers(connection, api.customer)
        for turn in range(1, run.repeat + 1):
            for count in crowds:
                samples.add(str(count), await _revoke_once(api, connection, (tokens, consoles), count))
            run.show(f"console.revocation {turn}/{run.repeat}: {samples.figures}")
    mix = {count: f"{min(count, MOST_CONSOLES)} consoles, {max(0, count - MOST_CONSOLES)} streams" for count in crowds}
    return [
        samples.alone(f"console.revocation.{count}", "ms", side=str(count), budget=at_most(1000), note=mix[count])
        for count in crowds
    ]


async def _revoke_once(
    api: RealApi, connection: asyncpg.Connection, opened: tuple[list[str], list[str]], count: int
) -> float:
    tokens, consoles = opened
    await connection.execute(_GIVE_BACK)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(api.url, connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        crowd = _Crowd(session, tokens)
        try:
            await crowd.open(count, consoles)
            # All of them have been looked at since they were opened.
            await asyncio.sleep(1)
            await connection.execute(_TAKE)
            committed = time.perf_counter()
            return (await crowd.last_end() - committed) * 1000
        finally:
            await crowd.close()


CASES = (Case("console.revocation", "a right is taken, and what is open by it ends", revocation),)

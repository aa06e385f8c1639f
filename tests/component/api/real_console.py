"""A served API in front of a real agent's consoles: a real database, real TLS, real shells."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import by
from component.console.harness import PATIENCE_S, Bench, eventually
from fakes.api_world import NODE, World
from guards.leaks import is_gone
from zlh_agent.console.seats import Seats
from zlh_agent.terminals.routes import routes
from zlh_agent.terminals.service import TerminalService
from zlh_agent.web.server import build_application
from zlh_api.agents.client import AgentClient
from zlh_api.customers.secret import token_digest
from zlh_common.names import OwnerMark
from zlh_common.schema.console_wire import SUBPROTOCOL, parse_output

Headers = dict[str, str]


@dataclass
class Console:
    """One viewer over HTTP."""

    socket: ClientWebSocketResponse
    data: bytearray = field(default_factory=bytearray)

    async def until(self, text: bytes) -> None:
        """Read until this was shown."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.data:
                message = await self.socket.receive()
                assert message.type in {WSMsgType.BINARY, WSMsgType.TEXT}, message
                if message.type is WSMsgType.BINARY:
                    self.data += parse_output(message.data)[1]

    async def run(self, command: str) -> None:
        """Type a command."""
        await self.socket.send_bytes(command.encode() + b"\n")

    async def to_end(self) -> tuple[int | None, str | None]:
        """Read to the end; return how it was closed."""
        reason: str | None = None
        async with asyncio.timeout(PATIENCE_S):
            while not self.socket.closed:
                message = await self.socket.receive()
                reason = message.extra if message.type is WSMsgType.CLOSE else reason
        return self.socket.close_code, reason


@dataclass
class Place:
    """One container of the owner's customer, whose agent is real, and the API."""

    world: World
    client: TestClient[Request, Application]
    vmid: int
    terminals: TerminalService

    @property
    def path(self) -> str:
        """The console's."""
        return f"/api/containers/{self.vmid}/console"

    async def look(self, headers: Headers, *, query: str = "", ticket: str | None = None) -> Console:
        """Open the console; raise WSServerHandshakeError where that is refused."""
        protocols = [SUBPROTOCOL, *([f"zlh.ticket.{ticket}"] if ticket else [])]
        return Console(await self.client.ws_connect(self.path + query, protocols=protocols, headers=headers))

    async def refusal(self, headers: Headers, *, query: str = "", ticket: str | None = None) -> int | None:
        """Return the status with which the console is refused, or None."""
        try:
            console = await self.look(headers, query=query, ticket=ticket)
        except WSServerHandshakeError as error:
            return error.status
        await console.socket.close()
        return None

    async def issue_ticket(self, headers: Headers) -> str:
        """Return a ticket for the console."""
        async with self.client.post(f"/api/containers/{self.vmid}/tickets", headers=headers) as answer:
            assert answer.status == 201
            return str((await answer.json())["ticket"])

    async def sign_in(self, email: str) -> str:
        """Open a session for somebody, as a login does; return its token."""
        token = f"session-of-{email}-{uuid4()}"
        await self.world.fetch(
            "insert into sessions (token_sha256, user_id, expires_at) "
            "select $1, id, now() + interval '1 day' from users where email = $2 returning 1",
            token_digest(token),
            email,
        )
        return token


def _agent_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.crt", folder / "agent.key")
    context.load_verify_locations(folder / "api-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _write_agent(world: World, folder: Path, owner: OwnerMark) -> ssl.SSLContext:
    folder.mkdir()
    issued = world.authority.issue_agent(owner)
    (folder / "agent.crt").write_bytes(issued.certificate)
    (folder / "agent.key").write_bytes(issued.private_key)
    (folder / "api-ca.crt").write_bytes(world.authority.api_ca)
    return _agent_context(folder)


@asynccontextmanager
async def _agent(folder: Path, context: ssl.SSLContext) -> AsyncIterator[tuple[TerminalService, int]]:
    """Serve the terminals of an agent; yields them and their port."""
    bench = Bench(folder / "bench")
    terminals = await bench.start()
    runner = web.AppRunner(build_application(routes(terminals, Seats())), shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield terminals, runner.addresses[0][1]
        await eventually(lambda: not any(each.console.viewers for each in terminals._terminals.values()))
    finally:
        terminals.detach()
        await runner.cleanup()
        left = bench.shims()
        for pid in left:
            os.kill(pid, signal.SIGTERM)
        await eventually(lambda: all(map(is_gone, left)))


async def _wish(world: World) -> tuple[int, OwnerMark]:
    async with world.client() as client:
        answer = await client.post("/api/containers", json=NODE, headers=by("owner-token"))
        vmid = int((await answer.json())["vmid"])
    rows: list[Any] = await world.fetch("select owner from containers where vmid = $1", vmid)
    return vmid, OwnerMark(str(rows[0]["owner"]))


@asynccontextmanager
async def open_place(world: World, folder: Path, *, look_again_s: float = 600.0) -> AsyncIterator[Place]:
    """Serve the API with one container that runs; nothing is judged again by time within `look_again_s`."""
    vmid, owner = await _wish(world)
    context = await asyncio.to_thread(_write_agent, world, folder / "agent", owner)
    async with (
        _agent(folder, context) as (terminals, port),
        AgentClient(await asyncio.to_thread(world.authority.client_context)) as agents,
    ):
        # Not the fake: what is dialled is there.
        world.agents = agents  # type: ignore[assignment]
        world.agent_port = port
        world.look_again_s = look_again_s
        await world.fetch(
            "update containers set guest = 'running', connection = 'online', address = '127.0.0.1', "
            "wake_at = now() + interval '1 year' where vmid = $1 returning 1",
            vmid,
        )
        async with world.client() as client:
            yield Place(world, client, vmid, terminals)

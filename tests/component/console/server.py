"""An agent's calls about terminals behind a real socket, viewers that keep to the protocol, and one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from component.console.harness import PATIENCE_S, Bench
from zlh_agent.console.seats import Seats
from zlh_agent.terminals.routes import routes
from zlh_common.errors import ZlhError
from zlh_common.schema.console_wire import OFFSET_BYTES, SUBPROTOCOL
from zlh_common.schema.problem import PROBLEM_CONTENT_TYPE, render_problem

TEXT, BINARY, CONTINUATION, PING = 1, 2, 0, 9


@web.middleware
async def problems(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ZlhError as exc:
        return web.json_response(
            render_problem(exc, request_id="r"), status=exc.status, content_type=PROBLEM_CONTENT_TYPE
        )
    return response


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of an agent that serves terminals."""
    app = web.Application(middlewares=[problems])
    app.add_routes(routes(await bench.start(), Seats()))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"http://{host}:{port}", connector=connector) as session:
        yield session
    for service in bench.services:
        service.detach()
    await runner.cleanup()


def watch(client: aiohttp.ClientSession, path: str = "/terminals/main") -> Any:
    return client.ws_connect(path, protocols=[SUBPROTOCOL], max_msg_size=0)


async def read_until(socket: aiohttp.ClientWebSocketResponse, text: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """Return output and messages up to `text`."""
    data, messages = b"", []
    async with asyncio.timeout(PATIENCE_S):
        while text not in data:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                data += message.data[OFFSET_BYTES:]
            else:
                messages.append(message.json())
    return data, messages


async def closing(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        async for _ in socket:
            pass
    return socket.close_code


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """A frame of a client, masked with zeros, which change nothing."""
    head = bytes([opcode | (0x80 if is_last else 0)])
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        length = bytes([0xFF]) + size.to_bytes(8, "big")
    return head + length + bytes(4) + payload


class RawViewer:
    """A viewer without manners: it sends what it likes, and reads only when told to. It blocks: use in a thread."""

    def __init__(self, client: aiohttp.ClientSession, path: str = "/terminals/main") -> None:
        base = client._base_url
        assert base is not None
        self._address = (base.host, base.port)
        self._path = path
        self.socket = socket.socket()
        # What the server has to say fills this up soon.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)

    def connect(self) -> None:
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(self._address)
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        lines = [f"GET {self._path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def flood(self, data: bytes, seconds: float, *, reads: bool = False) -> int:
        """Send `data` over and over, as fast as it is taken; return how many bytes were."""
        due, sent = time.monotonic() + seconds, 0
        self.socket.setblocking(False)
        view = memoryview(data)
        while time.monotonic() < due:
            try:
                sent += self.socket.send(view[sent % len(data) :])
                if reads:
                    self.socket.recv(65536)
            except BlockingIOError:
                time.sleep(0.001)
        return sent

    def flood_until_cut(self, data: bytes, seconds: float) -> None:
        """Do the same, and be content with being hung up on."""
        with contextlib.suppress(ConnectionError):
            self.flood(data, seconds)

    def close_code(self) -> int:
        """Read to the end and return with which code the server closed, 0 where it just hung up."""
        self.socket.settimeout(PATIENCE_S)
        data = b""
        try:
            while chunk := self.socket.recv(65536):
                data += chunk
        except ConnectionError:
            pass
        at = data.rfind(b"\x88")
        return int.from_bytes(data[at + 2 : at + 4], "big") if at >= 0 else 0

    def close(self) -> None:
        self.socket.close()


async def echo_s(
    client: aiohttp.ClientSession, path: str, attack: Callable[[], Awaitable[object]]
) -> tuple[float, float]:
    """Return the echoes of a key that a viewer of another console saw while somebody misbehaved.

    The median by the clock, and the slowest by what the loop has worked meanwhile: a single slow one by the clock may
    be the machine's. What the tests before have left in memory is not searched for garbage in between.
    """
    gc.collect()
    gc.freeze()
    async with watch(client, path) as viewer:
        await viewer.send_bytes(b"stty -echo -icanon; echo re''ady; cat\n")
        await read_until(viewer, b"ready\r\n")
        attacking = asyncio.ensure_future(attack())
        echoes, worked = [], []
        while not attacking.done():
            began, began_work = time.monotonic(), time.thread_time()
            await viewer.send_bytes(b"k")
            await read_until(viewer, b"k")
            echoes.append(time.monotonic() - began)
            worked.append(time.thread_time() - began_work)
            await asyncio.sleep(0.01)
        await attacking
    gc.unfreeze()
    return statistics.median(echoes), max(worked)


def resident_bytes(pid: int | None = None) -> int:
    """What a process has in memory now."""
    with open(f"/proc/{pid or os.getpid()}/statm") as file:  # noqa: PTH123 - read in between, no more than needed
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

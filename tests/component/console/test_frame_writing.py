"""Frames written past aiohttp's own writer: whole, between its messages, and no faster than the client reads.

These fail where aiohttp changes what we lean on: `request.transport`, and the writer that `prepare()` returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from component.console.harness import PATIENCE_S
from zlh_common.schema.console_wire import parse_output
from zlh_common.websocket_frames import FrameWriter, OutputFrame, render_frame

Handler = Callable[[web.WebSocketResponse, web.Request, FrameWriter], Awaitable[None]]
# What the kernel and asyncio may hold for a client on loopback.
BUFFERS_BYTES = 16_000_000


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve one WebSocket; yields its address."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        flow = await socket.prepare(request)
        assert isinstance(request.transport, asyncio.WriteTransport)
        await handler(socket, request, FrameWriter(request.transport, flow))
        return socket

    app = web.Application()
    app.add_routes([web.get("/", serve)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def test_frames_of_every_size_arrive_between_messages_of_aiohttp() -> None:
    """Whole, in order, whoever writes."""
    sizes = [1, 117, 118, 20_000, 65_527, 65_528, 131_072, 5]

    async def handler(socket: web.WebSocketResponse, _request: web.Request, writer: FrameWriter) -> None:
        for size in sizes:
            await writer.write(render_frame(size, b"x" * size))
            await socket.send_str(str(size))
            await socket.ping()

    async with serving(handler) as url, aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        async with asyncio.timeout(PATIENCE_S):
            for size in sizes:
                assert parse_output(await socket.receive_bytes()) == (size, b"x" * size)
                assert await socket.receive_str() == str(size)


async def test_a_client_that_does_not_read_stops_the_writer() -> None:
    """What waits for it is bounded; once it reads, the writer goes on."""
    frame = render_frame(0, b"x" * 131_072)
    written = 0

    async def handler(_socket: web.WebSocketResponse, _request: web.Request, writer: FrameWriter) -> None:
        nonlocal written
        while written < 3 * BUFFERS_BYTES:
            await writer.write(frame)
            written += frame.size

    async with (
        serving(handler) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=0) as socket,
        asyncio.timeout(PATIENCE_S),
    ):
        before = -1
        while written != before:
            before = written
            await asyncio.sleep(0.2)
        assert 0 < written < BUFFERS_BYTES
        while written < 3 * BUFFERS_BYTES:
            await socket.receive_bytes()


async def test_a_client_that_goes_is_a_connection_error() -> None:
    """Also in the middle of a wait."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(_socket: web.WebSocketResponse, request: web.Request, writer: FrameWriter) -> None:
        frame: OutputFrame = render_frame(0, b"x" * 131_072)
        assert request.transport is not None
        asyncio.get_running_loop().call_later(0.3, request.transport.abort)
        try:
            while True:
                await writer.write(frame)
        except ConnectionError as exc:
            ended.set_result(type(exc).__name__)

    async with serving(handler) as url, aiohttp.ClientSession() as session, session.ws_connect(url):
        async with asyncio.timeout(PATIENCE_S):
            assert await ended

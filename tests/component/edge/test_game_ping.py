"""The players' own question, asked through a port of a real Traefik, and of strangers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guards.ports import free_port
from zlh_api.dev.traefik import TraefikProcess, TraefikSettings
from zlh_api.edge.game_ping import PublicPort, check_game
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import GamePort, ProxySetting, RouteWish
from zlh_api.edge.port import GameNotAnswering
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import file_name, render_route_file
from zlh_api.edge.traefik_games import game_router
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.edge.traefik_http import router_names
from zlh_common.names import HostName, OwnerMark, Vmid
from zlh_common.status_ping import render_varint

HOST = HostName("game", Vmid(101))
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
PLAYED = "game-101.localhost"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """Serve whoever connects; yields the port."""

    visits: set[asyncio.Task[object]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit is not None
        visits.add(visit)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*visits)


async def tell_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a Minecraft server does that was asked by this name."""
    asked = await reader.readuntil(b"\x01\x00")
    assert PLAYED.encode() in asked
    text = json.dumps({"players": {"online": 0, "max": 20}}).encode()
    body = b"\x00" + render_varint(len(text)) + text
    writer.write(render_varint(len(body)) + body)
    await writer.drain()


async def test_a_server_is_asked_through_its_public_port(tmp_path: Path) -> None:
    """It answers once its route is loaded, and no more once that is withdrawn."""
    public = free_port()
    settings = TraefikSettings(
        tmp_path / "traefik", tmp_path / "dynamic", free_port(), free_port(), games=range(public, public + 1)
    )
    process = TraefikProcess(settings, tmp_path / "run")
    await process.start(timeout_s=60)
    try:
        async with (
            serving(tell_status) as port,
            Traefik(api_url=settings.api_url, web_url=settings.web_url) as proxy,
        ):
            routes = LocalRouteDirectory(settings.dynamic_dir)
            game = GamePort("tcp", public, port)
            wish = RouteWish(OWNER, HOST, "127.0.0.1", games=(game, GamePort("udp", public, port)))
            setting = ProxySetting("localhost", "web", "http://127.0.0.1:9")
            file = render_route_file(wish, setting)
            with pytest.raises(GameNotAnswering, match=f"{PLAYED}:{public}"):
                await proxy.check_game(PLAYED, public)
            await routes.publish(render_hosts_file(setting))
            await routes.publish(file)
            await proxy.wait_loaded(file)
            await proxy.check_game(PLAYED, public)
            await routes.withdraw(file_name(HOST), OWNER)
            led = tuple((each.protocol, game_router(HOST, each)) for each in wish.games)
            await proxy.wait_unloaded(router_names(HOST, ()), led)
            with pytest.raises(GameNotAnswering):
                await proxy.check_game(PLAYED, public)
    finally:
        await process.stop()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 9, b"\x05\x00\x03{}x", b"\x80\x80\x08" + b"\0"]
)
async def test_what_is_no_status_is_no_answer(said: bytes) -> None:
    """Whatever a stranger says, it is told as what it is."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\x01\x00")
        writer.write(said)
        await writer.drain()

    async with serving(answer) as port:
        with pytest.raises(GameNotAnswering):
            await check_game(PublicPort(PLAYED, "127.0.0.1", port))


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time, and not after for ever."""
    monkeypatch.setattr("zlh_api.edge.game_ping.TIMEOUT_S", 0.2)
    done = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await done.wait()

    async with serving(silent) as port:
        with pytest.raises(GameNotAnswering, match="no answer"):
            await check_game(PublicPort(PLAYED, "127.0.0.1", port))
        done.set()

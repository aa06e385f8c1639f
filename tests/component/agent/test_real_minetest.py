"""A game that nothing in the platform knows, by its shipped template alone, kept by an agent on its own machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from component.agent.harness import AgentProcess, end, eventually
from fakes.runtime_shop import RuntimeShop
from guards.ports import free_port
from real_parts.minetest import ask_minetest, offer_minetest
from zlh_api.artifacts.signing.publish import read_catalog
from zlh_api.games.model import GameWish
from zlh_api.games.rendering import render_game
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AgentStatus, ProcessStatus

pytestmark = [pytest.mark.real("debian-packages"), pytest.mark.timeout(1200)]


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A signed tree that offers it."""
    shop = RuntimeShop(tmp_path / "shop")
    offer_minetest(shop)
    return shop


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """An agent that serves; at last it is told to keep nothing, so that no process outlives the test."""
    try:
        await unstarted.start()
        yield unstarted
        await unstarted.want_spec()
        shims = unstarted.root / "run/zlh/processes"
        await eventually(lambda: not any(shims.glob("*")))
    finally:
        await end(unstarted)


def render(shop: RuntimeShop, port: int) -> tuple[WantedGame, WantedRuntime]:
    """Return what the API tells an agent of it, at a port of this test's own; and the runtime that it needs."""
    (offer,) = read_catalog(shop.tree, now=datetime.now(UTC)).game_templates
    (version,) = offer.versions
    (game,) = offer.template.ports
    policy = msgspec.structs.replace(offer.template.policy, ports=(port,))
    definition = msgspec.structs.replace(
        offer.template, ports=(msgspec.structs.replace(game, port=port),), policy=policy
    )
    wish = GameWish(
        template=offer.name, title=offer.title, definition=definition, version=version, values={"motd": "Come in"}
    )
    (need,) = version.requires
    wanted = render_game(wish, memory_mib=512, address="127.0.0.1", power="on")
    return wanted, WantedRuntime(name=need.name, version=need.version)


def server_of(status: AgentStatus) -> ProcessStatus:
    """Return what is told of the server."""
    return next(process for process in status.processes if process.name == SERVER)


async def test_minetest_is_installed_played_and_stopped_in_order(agent: AgentProcess, shop: RuntimeShop) -> None:
    """Ready by its own line, asked by UDP as a player's program asks, and its world saved when it is switched off."""
    port = free_port()
    game, runtime = await asyncio.to_thread(render, shop, port)
    await agent.want_spec(game=game, runtimes=(runtime,))
    await agent.until(lambda status: any(one.name == SERVER and one.ready for one in status.processes))
    assert await asyncio.to_thread(ask_minetest, "127.0.0.1", port) > 1
    folder = agent.root / "srv/game"
    assert "motd = Come in\n" in await asyncio.to_thread((folder / "minetest.conf").read_text)
    off = msgspec.structs.replace(game, process=msgspec.structs.replace(game.process, power="off"))
    await agent.want_spec(game=off, runtimes=(runtime,))
    status = await agent.until(lambda status: server_of(status).state == "stopped")
    assert (server_of(status).exit_code, server_of(status).signal) == (0, None)
    assert "game_time = " in await asyncio.to_thread((folder / "world/env_meta.txt").read_text)

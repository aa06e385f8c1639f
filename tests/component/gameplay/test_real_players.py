"""A real server of the Minecraft protocol and real players: who plays is exactly who plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from component.gameplay.harness import Followed
from real_parts.minecraft import Bots, find_node, install
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.process import LineProbe, ProcessPolicy, ReadyPolicy, StopPolicy
from zlh_common.schema.template import Presence

pytestmark = [pytest.mark.real("npm", "package-index"), pytest.mark.timeout(400)]
NAMES = [f"bot{number}" for number in range(20)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Server and players, installed."""
    return install(tmp_path_factory.mktemp("minecraft"))


@pytest.fixture
async def real(follow: Callable[..., Followed], programs: Path) -> Followed:
    """The real server, followed."""
    one = follow()
    one.told = squid(one, programs)
    await one.begin()
    await one.wait_ready()
    return one


@pytest.fixture
async def bots(real: Followed, programs: Path) -> AsyncIterator[Bots]:
    """Nobody yet."""
    bots = await Bots.start(programs, real.port)
    yield bots
    await bots.close()


def squid(one: Followed, programs: Path) -> WantedGame:
    """The game as a template of this server would have it, by what it really prints."""
    said, login = "{time} [INFO]: ", "[login] {word} - {name} ({uuid}) connected {rest}"
    game = one.game
    policy = ProcessPolicy(
        ready=ReadyPolicy(probe=LineProbe(pattern=f"{said}Server listening on port {{rest}}", ping=one.port)),
        stop=StopPolicy(command="stop", command_grace_s=30, grace_s=5),
        ports=(one.port,),
    )
    argv = (str(find_node()), str(programs / "server.cjs"), str(one.port), "40")
    return msgspec.structs.replace(
        game,
        process=msgspec.structs.replace(game.process, argv=argv, policy=policy),
        presence=Presence(
            joined=(said + "{name} ({word}) connected",),
            left=(said + "{name} disconnected",),
            # The second one behind a prompt.
            identified=(login, f"> {login}"),
            ping="game",
        ),
    )


async def test_twenty_players_come_and_go(real: Followed, bots: Bots) -> None:
    """Names, ids and number are those of the players themselves; what they were is remembered."""
    assert real.service is not None
    await bots.join(*NAMES)
    await real.wait(lambda: set(real.names()) == set(NAMES))
    players = real.service.players()
    assert {player.name: player.uuid for player in players.online} == bots.spawned
    await real.wait(lambda: _agrees(real, 20))
    await bots.quit(*NAMES[:7])
    await real.wait(lambda: set(real.names()) == set(NAMES[7:]))
    await real.wait(lambda: _agrees(real, 13))
    await bots.quit(*NAMES[7:])
    await real.wait(lambda: _agrees(real, 0))
    history = await real.service.history(100, None)
    assert sorted(stay.name for stay in history.items) == sorted(NAMES)
    assert all(stay.left_for_certain for stay in history.items)


async def test_a_restart_under_load_loses_nobody_and_counts_nobody_twice(real: Followed, bots: Bots) -> None:
    """Whoever played is gone with the old server; only who comes to the new one plays."""
    assert real.service is not None
    assert real.processes is not None
    await bots.join(*NAMES[:10])
    await real.wait(lambda: _agrees(real, 10))
    first = real.processes.runs_of(SERVER).present
    real.processes.restart(SERVER)
    await bots.wait_gone(*NAMES[:10])
    await real.wait(lambda: real.processes is not None and real.processes.runs_of(SERVER).present not in {None, first})
    await real.wait_ready()
    assert real.names() == []
    await bots.join(*NAMES[5:15])
    await real.wait(lambda: set(real.names()) == set(NAMES[5:15]))
    await real.wait(lambda: _agrees(real, 10))
    history = await real.service.history(100, None)
    assert sum(stay.left_at is None for stay in history.items) == 10
    assert sorted(stay.name for stay in history.items if stay.left_at) == sorted(NAMES[:10])


async def test_an_agent_that_goes_while_players_come_and_go_is_followed_by_one_that_knows(
    real: Followed, bots: Bots
) -> None:
    """The server's output is heard from where the first one has left off."""
    await bots.join(*NAMES[:5])
    await real.wait(lambda: _agrees(real, 5))
    assert real.service is not None
    since = {player.name: player.since for player in real.service.players().online}
    await real.end()
    await asyncio.gather(bots.quit(*NAMES[:2]), bots.join(*NAMES[5:8]))
    await real.begin()
    await real.wait(lambda: set(real.names()) == set(NAMES[2:8]))
    assert real.service is not None
    after = {player.name: player.since for player in real.service.players().online}
    assert all(after[name] == since[name] for name in NAMES[2:5])


def _agrees(real: Followed, count: int) -> bool:
    """Tell whether names and the server's own number agree."""
    assert real.service is not None
    players = real.service.players()
    return players.complete and players.count == len(players.online) == count and players.observed_at is not None

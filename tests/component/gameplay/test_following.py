"""A server that runs, and what an agent knows of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from component.gameplay.harness import PATIENCE_S, UUID, Followed
from zlh_agent.gameplay.presence_store import PresenceStore
from zlh_agent.gameplay.service import GameplayPlace
from zlh_common.schema.game import SERVER
from zlh_common.schema.game_refusals import CommandNotTaken, GameNotRunning
from zlh_common.schema.process import HangPolicy, ProcessPolicy

Follow = Callable[..., Followed]


async def test_it_is_ready_when_its_own_line_says_so_and_it_answers(follow: Follow) -> None:
    """Not when its port is open, and not when a player says that it is done."""
    one = follow("--spoof", "--closes-early", "--ready-after", "1.5", "--ansi")
    await one.begin()
    assert one.processes is not None
    console = one.processes.console_of(SERVER)
    assert console is not None
    await one.wait(lambda: b"Steve joined the game" in console.read(0, 65_536))
    assert not one.processes.is_ready(SERVER)
    await one.wait_ready()
    assert b"Done (1.500s)" in console.read(0, 65_536)
    assert one.names() == []


async def test_players_come_and_go(follow: Follow) -> None:
    """By the lines at once, and by the answers for what no line has told."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    assert one.service is not None
    await one.say(f"test join Alex {UUID}")
    await one.say("test chat Alex [12:00:00] [Server thread/INFO]: Steve joined the game")
    await one.say("test join Steve 61699b2e-d327-4a01-9f1e-0ea8c3f06bc6")
    await one.wait(lambda: one.names() == ["Alex", "Steve"])
    players = one.service.players()
    assert players.online[0].uuid == UUID
    await one.wait(lambda: one.service is not None and one.service.players().max == 20)
    await one.say("test leave Alex")
    await one.wait(lambda: one.names() == ["Steve"])
    history = await one.service.history(10, None)
    assert [(stay.name, stay.left_at is None) for stay in history.items] == [("Steve", True), ("Alex", False)]
    seen = one.service.seen()
    assert seen is not None
    assert (seen.count, seen.source) == (1, "ping")


async def test_another_agent_goes_on_where_the_first_was(follow: Follow) -> None:
    """Nobody comes twice, and who went meanwhile is gone."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    await one.say(f"test join Alex {UUID}")
    await one.say("test join Steve 61699b2e-d327-4a01-9f1e-0ea8c3f06bc6")
    await one.wait(lambda: one.names() == ["Alex", "Steve"])
    assert one.service is not None
    before = {player.name: player.since for player in one.service.players().online}
    # Typed while nobody follows: the server goes on without an agent.
    assert one.loop is not None
    one.loop.cancel()
    await asyncio.gather(one.loop, return_exceptions=True)
    await one.say("test leave Steve")
    await one.say("test join Kim 853c80ef-3c37-49fd-aa49-938b674adae6")
    await one.end()
    await one.begin()
    await one.wait(lambda: one.names() == ["Alex", "Kim"])
    assert one.service is not None
    assert one.service.players().online[0].since == before["Alex"]
    history = await one.service.history(10, None)
    assert [stay.name for stay in history.items] == ["Kim", "Alex", "Steve"]


async def test_the_end_of_the_server_is_the_end_of_every_stay(follow: Follow) -> None:
    """And nothing is known of one that does not run."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    await one.say(f"test join Alex {UUID}")
    await one.wait(lambda: one.names() == ["Alex"])
    await one.switch("off")
    await one.wait(lambda: one.names() == [])
    assert one.service is not None
    assert one.service.seen() is None
    assert (await one.service.history(10, None)).items[0].left_at is not None
    with pytest.raises(GameNotRunning):
        await one.service.command("list")


async def test_a_crash_says_why(follow: Follow) -> None:
    """Though its exit code is 0; and it is started again."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    assert one.processes is not None
    first = one.processes.runs_of(SERVER).present
    await one.say("test crash")
    await one.wait(lambda: "server_crashed" in one.hints)
    await one.wait(lambda: one.processes is not None and one.processes.runs_of(SERVER).present not in {None, first})


async def test_one_that_answers_no_more_is_started_again(follow: Follow) -> None:
    """It was ready by a line, which it does not write again while it hangs."""
    one = follow(hang=HangPolicy(after_s=1, action="restart"))
    one.keeper.clock = type(one.keeper.clock)(5)
    await one.begin()
    await one.wait_ready()
    assert one.processes is not None
    first = one.processes.runs_of(SERVER).present
    await one.say("test hang")
    await one.wait(lambda: one.processes is not None and one.processes.runs_of(SERVER).present not in {None, first})
    await one.wait_ready()


async def test_commands_go_to_the_remote_console_where_there_is_one(follow: Follow) -> None:
    """And are answered; a wrong secret is told."""
    one = follow(has_rcon=True)
    await one.begin()
    await one.wait_ready()
    assert one.service is not None
    answer = await one.service.command("list")
    assert answer.output == "There are 0 of a max of 20 players online: "
    await one.wait(lambda: _ticks(one) is not None)
    telemetry = one.service.telemetry()
    assert telemetry.now is not None
    assert (telemetry.now.ticks_per_s, telemetry.server_version) == (19.98, "1.21.4")
    assert telemetry.motd == "A Minecraft Server"
    assert telemetry.now.latency_ms is not None
    one.service._place = _with_wrong_secret(one)
    with pytest.raises(CommandNotTaken, match="password"):
        await one.service.command("list")


async def test_commands_are_typed_where_there_is_no_remote_console(follow: Follow) -> None:
    """The answer stands in the console then."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    assert one.service is not None
    assert one.processes is not None
    assert (await one.service.command("say hello")).output is None
    console = one.processes.console_of(SERVER)
    assert console is not None
    await one.wait(lambda: b"[Server] hello" in console.read(0, 65_536))


async def test_a_flood_costs_no_player(follow: Follow) -> None:
    """What is faster than it is read is lost as lines, and the answers know who plays."""
    one = follow()
    await one.begin()
    await one.wait_ready()
    await one.say(f"test join Alex {UUID}")
    await one.wait(lambda: one.names() == ["Alex"])
    await one.say("test flood 20000")
    await one.say("test leave Alex")
    await one.say("test join Kim 853c80ef-3c37-49fd-aa49-938b674adae6")
    await one.wait(lambda: one.names() == ["Kim"])


async def test_output_without_end_keeps_nothing_from_being_kept(follow: Follow) -> None:
    """Who plays is on the disk and told, though there is always more to be read."""
    one = follow()
    code = (
        "while True:\n"
        "    print('[12:00:00] [Server thread/INFO]: Alex joined the game')\n"
        "    print('x' * 4000, flush=True)"
    )
    process = msgspec.structs.replace(one.game.process, argv=(sys.executable, "-c", code), policy=ProcessPolicy())
    one.told = msgspec.structs.replace(one.game, process=process)
    one.keeper.clock = type(one.keeper.clock)(5)
    await one.begin()
    store = PresenceStore(one.folder / "state")
    async with asyncio.timeout(PATIENCE_S):
        while (kept := await asyncio.to_thread(store.load)) is None or "Alex" not in kept.state.online:
            await asyncio.sleep(0.02)
    await one.switch("off")


def _ticks(one: Followed) -> float | None:
    now = one.service.telemetry().now if one.service is not None else None
    return None if now is None else now.ticks_per_s


def _with_wrong_secret(one: Followed) -> GameplayPlace:
    assert one.service is not None
    return replace(one.service._place, secret=_tell_another)


async def _tell_another(_name: str) -> str:
    return "another"

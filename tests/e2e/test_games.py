"""A game server on the whole platform: a real server of the Minecraft protocol, and real players at its public port."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from e2e.game_artifact import (
    BUILD_LIMIT_S,
    NAME,
    NEXT_VERSION,
    STRICT,
    TERMS,
    VERSION,
    games_on_offer,
    players_installed,
    squid_archive,
)
from e2e.games import PATIENCE_S, WISH, Game, Report, server_of
from e2e.stack import START_S, Stack
from real_parts.minecraft import Bots

__all__ = ["games_on_offer", "players_installed", "squid_archive"]
pytestmark = [
    pytest.mark.real("npm"),
    pytest.mark.timeout(START_S + BUILD_LIMIT_S + 900),
    pytest.mark.usefixtures("games_on_offer"),
]
NAMES = [f"bot{number:02}" for number in range(20)]
HOSTILE = "`id`; $(id) \"'{var.world}\\ --flags"


@pytest.fixture
async def game(stack: Stack) -> AsyncIterator[Game]:
    """A server that players reach."""
    game = await Game.create(stack, {**WISH, "variables": {**WISH["variables"], "motd": HOSTILE}})
    yield game
    await game.end()


@pytest.fixture
async def bots(game: Game, players_installed: Path) -> AsyncIterator[Bots]:
    """Nobody yet, on the way to its public port."""
    bots = await Bots.start(players_installed, await game.public_port())
    yield bots
    await bots.close()


async def test_players_come_go_and_come_again(game: Game, bots: Bots) -> None:
    """Who plays is told exactly, by name and id, over a restart amid their play and a stop; the world outlives both."""
    await its_text_is_text(game)
    await bots.join(*NAMES)
    await game.wait_players(bots.spawned)
    await game.restart()
    await bots.wait_gone(*NAMES)
    await game.wait_players({})
    await bots.join(*NAMES[5:15])
    await game.wait_players(bots.spawned)
    stays = await game.stays()
    assert sorted(stay["name"] for stay in stays if stay["leftAt"] is None) == NAMES[5:15]
    assert sorted(stay["name"] for stay in stays if stay["leftAt"] is not None) == NAMES
    await bots.quit(*NAMES[5:9])
    await game.wait_players(bots.spawned)
    assert sorted(bots.spawned) == NAMES[9:15]

    await game.order("stop")
    await bots.wait_gone(*NAMES[9:15])
    report = await game.wait("stopped", lambda report: report["lifecycle"] == "stopped")
    assert server_of(report)["exitCode"] == 0
    # The server writes somebody down as they leave.
    world = await asyncio.to_thread(read_world, game)
    left = {f"{stay['uuid']}.dat" for stay in stays if stay["name"] in NAMES[5:9]}
    assert left | {"level.dat"} <= {Path(path).name for path in world}
    await nobody_else_gets_its_port(game)

    port = await game.public_port()
    await game.order("start")
    report = await game.wait_ready()
    assert report["game"]["address"].endswith(f":{port}")
    assert world == await asyncio.to_thread(read_world, game)
    await bots.join(NAMES[0])
    await game.wait_players(bots.spawned)


async def test_a_version_is_changed_and_gone_back_from(game: Game, bots: Bots) -> None:
    """While somebody plays, and with agents that are killed amid both; world and files are as before the change."""
    mine = game.folder / "mine.txt"
    await asyncio.to_thread(mine.write_text, "mine")
    await bots.join(*NAMES[:2])
    await game.wait_players(bots.spawned)
    left = bots.spawned[NAMES[0]]
    await bots.quit(NAMES[0])
    await game.wait_players(bots.spawned)
    before = await wait_written(game, left)
    port = await game.public_port()

    assert (await game.ask("GET", ""))["versions"] == [NEXT_VERSION, VERSION]
    detail = await game.ask("POST", "/version", {"version": NEXT_VERSION})
    assert (detail["state"], detail["version"], detail["installedVersion"]) == ("changing", NEXT_VERSION, VERSION)
    await kill_the_agent_over_it(game)
    await game.wait_version(NEXT_VERSION)
    await bots.wait_gone(NAMES[1])
    await game.wait_players({})
    assert before.items() <= (await asyncio.to_thread(read_world, game)).items()
    detail = await game.ask("GET", "")
    assert {backup["version"] for backup in detail["backups"]} == {VERSION}

    await asyncio.to_thread(mine.write_text, "changed")
    for path in before:
        await asyncio.to_thread(Path(path).unlink)
    backup = detail["backups"][0]["id"]
    assert (await game.ask("POST", "/restore", {"backupId": backup}))["version"] == VERSION
    await kill_the_agent_over_it(game)
    await game.wait_version(VERSION)
    assert await asyncio.to_thread(mine.read_text) == "mine"
    assert before.items() <= (await asyncio.to_thread(read_world, game)).items()
    assert await game.public_port() == port
    await bots.join(NAMES[0])
    await game.wait_players(bots.spawned)

    told = [(kind, data["version"], data.get("before")) for kind, data in await game.happenings()]
    # An agent that was killed before it could tell of its backup is followed by one that makes another.
    assert [one for one in told if one[0] != "game.backed_up"] == [
        ("game.installed", VERSION, None),
        ("game.version_changed", NEXT_VERSION, VERSION),
        ("game.restored", VERSION, None),
    ]
    assert ("game.backed_up", VERSION, None) in told


async def kill_the_agent_over_it(game: Game) -> None:
    """Kill the agent once the server is down for what was asked for, or was up again before that was seen."""
    since = server_of(await game.stack.status(game.vmid))["startedAt"]
    await game.wait("under way", lambda report: server_of(report)["startedAt"] != since)
    game.stack.kill("agent")


async def wait_written(game: Game, player: str) -> dict[str, bytes]:
    """Return the world once the server has written down somebody who has left, which it does as they go."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            world = await asyncio.to_thread(read_world, game)
            written = next((data for path, data in world.items() if path.endswith(f"/{player}.dat")), b"")
            with suppress(OSError, EOFError, zlib.error):
                if written and gzip.decompress(written):
                    return world
            await asyncio.sleep(0.2)


def read_world(game: Game) -> dict[str, bytes]:
    """Return what makes a world that very world: its own description, and everybody who was in it."""
    kept = (path for path in (game.folder / "world").rglob("*.dat"))
    return {str(path): path.read_bytes() for path in kept}


async def its_text_is_text(game: Game) -> None:
    """What would be a command to a shell, or an option, is what players read, letter by letter."""
    settings = msgspec.json.decode(await asyncio.to_thread((game.folder / "config/settings.json").read_bytes))
    assert settings["motd"] == HOSTILE
    telemetry: Report = {"motd": None}
    async with asyncio.timeout(PATIENCE_S):
        while telemetry["motd"] is None:
            telemetry = await game.ask("GET", "/telemetry")
            await asyncio.sleep(0.2)
    assert telemetry["motd"] == HOSTILE


async def nobody_else_gets_its_port(game: Game) -> None:
    """The pool has one port: it is that of a server that is off, and the next one says that there is none."""
    other = Game(game.stack, await game.stack.create(WISH))

    def is_refused(report: Report) -> bool:
        error = report["provisioningError"]
        return error is not None and error["code"] == "no_game_port_free"

    await other.wait("without a port", is_refused)
    await other.end()


REFUSALS: list[tuple[str, dict[str, Any], str, dict[str, str]]] = [
    ("no template", {"template": None}, "template_missing", {}),
    ("unknown template", {"template": "flying-squit"}, "template_not_offered", {}),
    ("unknown version", {"version": "9"}, "cannot_install", {}),
    ("no agreement", {"template": STRICT, "version": VERSION}, "eula_not_accepted", {}),
    (
        "newline", {"variables": {"motd": "a\nb; `id`"}}, "variable_invalid",
        {"variables.motd": "motd is one line of text without control characters."},
    ),
    (
        "flag", {"template": STRICT, "variables": {"mode": "--help"}, "acceptEula": True}, "variable_invalid",
        {"variables.mode": "mode cannot begin with -, which a program would take for an option."},
    ),
    (
        "secret", {"variables": {"motd": "{secret.rcon}"}}, "variable_invalid",
        {"variables.motd": "motd cannot hold {secret.…}, which stands for a password."},
    ),
    (
        "several", {"variables": {"mottd": "x", "max_players": "40; id", "version": "1.0"}}, "variable_unknown",
        {
            "variables.mottd": "no variable mottd", "variables.max_players": "a whole number from",
            "variables.version": "is one of",
        },
    ),
    ("too little memory", {"resources": {"memoryMib": 256}}, "memory_too_small", {"resources.memoryMib": "512 MiB"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code", "problems"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_what_cannot_be_is_refused(
    stack: Stack, changes: dict[str, Any], code: str, problems: dict[str, str]
) -> None:
    """The code and the field say what to change, and nothing is made."""
    asked = {key: value for key, value in {**WISH, "variables": {}, **changes}.items() if value is not None}
    status, answer = await stack.call("POST", "/api/containers", asked)
    assert (status, answer["code"]) == (422, code), answer
    told = {problem["field"]: problem["message"] for problem in answer.get("problems", ())}
    assert problems.keys() <= told.keys(), answer
    assert all(text in told[field] for field, text in problems.items()), answer
    if code == "template_not_offered":
        assert answer["suggestion"] == NAME
    if code == "eula_not_accepted":
        assert answer["url"] == TERMS

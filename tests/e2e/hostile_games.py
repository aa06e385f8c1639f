"""A game server of which every text is hostile: of its template, of Modrinth, of the program in its agent's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from e2e.game_with_mods import TEMPLATE, blocks_on_offer, modrinth, publish_blocks
from e2e.hostile_containers import taken_over
from e2e.stack import Stack
from fakes.hostile_words import DIGITS, ELSEWHERE, NAMES, TEXTS
from fakes.modrinth import FakeModrinth
from zlh_common.schema.template import (
    BooleanVariable,
    ChoiceVariable,
    ConsoleCommand,
    Eula,
    GameTemplate,
    IntegerVariable,
    TextVariable,
)

__all__ = ["blocks_on_offer", "hostile_game", "hostile_modrinth", "modrinth"]
NAME = "hostile-blocks"


def _take(start: int, most: int) -> str:
    """Return so many characters of all texts, from one of the texts on."""
    return " ".join((*TEXTS[start:], *TEXTS[:start]))[:most]


def _seen(start: int, most: int) -> str:
    """Return the same as one line of letters that are seen: no others are signed into a catalog."""
    return "".join(letter for letter in _take(start, 20_000) if letter.isprintable())[:most]


HOSTILE: GameTemplate = msgspec.structs.replace(
    TEMPLATE,
    summary=_seen(0, 512),
    eula=Eula(title=_seen(1, 128), url=f"https://{ELSEWHERE}/<script>"),
    variables=(
        TextVariable(name="text", title=_seen(8, 128), description=_seen(0, 9000), default=DIGITS[:99]),
        IntegerVariable(name="number", title=_seen(2, 128), description=_seen(3, 999), default=7, minimum=1, maximum=9),
        BooleanVariable(name="switch", title=_seen(9, 128), description=_seen(10, 4000), default=True),
        ChoiceVariable(name="choice", title=_seen(11, 128), default=NAMES[0], choices=NAMES),
    ),
    commands=tuple(ConsoleCommand(name=name, usage=_seen(at, 256)) for at, name in enumerate(NAMES)),
)


@pytest.fixture
def hostile_modrinth(modrinth: FakeModrinth) -> FakeModrinth:
    """Have Modrinth know one project for each text, of that title and with versions of that number."""
    for at, text in enumerate(TEXTS):
        project = modrinth.add_project(f"p{at}", title=text, description=_take(at, 4000), slug=f"slug-{at}")
        for number in (1, 2):
            modrinth.add_version(project, number, name=text, version_number=f"{number} {text}")
    return modrinth


@pytest.fixture
async def hostile_game(stack: Stack, hostile_modrinth: FakeModrinth, tmp_path: Path) -> AsyncIterator[int]:
    """A game server of that template, in whose agent's place a hostile program tells what there is."""
    await asyncio.to_thread(publish_blocks, stack, name=NAME, title=_seen(0, 128), template=HOSTILE)
    vmid = await stack.create({"kind": "game", "template": NAME, "version": "1.0", "acceptEula": True})
    try:
        await stack.wait_ready(vmid)
        async with taken_over(stack, vmid, tmp_path / "game.log"):
            yield vmid
    finally:
        await stack.delete(vmid)

"""The pictures of the portal: taken of a scene that is made where nothing is, and found where it is there already."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.stack import Stack

pytestmark = [pytest.mark.real("chromium", "portal"), pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parents[2] / "deploy/demo/pictures.py"
CUSTOMERS = {"Harbour Studio", "Northwind Guild", "Lindqvist Bakery"}
NARROW_PX = 390


@pytest.fixture
async def emptied(stack: Stack) -> AsyncIterator[Stack]:
    """Give the platform, and take away afterwards what the scene has put there."""
    yield stack
    for customer in await _customers(stack):
        _, containers = await stack.call("GET", f"/api/containers?limit=100&customer={customer}")
        for each in containers["items"]:
            await stack.delete(each["vmid"])
        await stack.call("DELETE", f"/api/customers/{customer}")


async def _customers(stack: Stack) -> list[str]:
    _, answer = await stack.call("GET", "/api/customers?limit=100")
    return [each["id"] for each in answer["items"] if each["name"] in CUSTOMERS]


async def test_pictures_are_taken_of_a_scene_that_is_made_once(emptied: Stack, tmp_path: Path) -> None:
    """Each page that is asked for becomes a file as wide as was asked for; a second call makes nothing again."""
    await _take(emptied, tmp_path, "containers", "terminal", "--looks", "narrow")
    widths = await asyncio.to_thread(_widths, tmp_path)
    assert widths == {"narrow-containers.png": NARROW_PX, "narrow-terminal.png": NARROW_PX}
    made = await _customers(emptied)
    await _take(emptied, tmp_path, "suspended", "--looks", "dark", "--format", "webp")
    picture = await asyncio.to_thread((tmp_path / "dark-suspended.webp").read_bytes)
    assert picture[8:12] == b"WEBP"
    assert await _customers(emptied) == made
    assert len(made) == len(CUSTOMERS)


async def _take(stack: Stack, folder: Path, *words: str) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        *words,
        "--into",
        str(folder),
        env=stack.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await program.communicate()
    assert program.returncode == 0, printed.decode()


def _widths(folder: Path) -> dict[str, int]:
    """Return what each PNG says of its width, in its first chunk."""
    return {each.name: int.from_bytes(each.read_bytes()[16:20]) for each in folder.iterdir()}

"""A game server as the portal has it: chosen, watched, played on, commanded, changed and gone back with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from e2e.browser import sign_in
from e2e.game_artifact import (
    BUILD_LIMIT_S,
    NEXT_VERSION,
    STRICT,
    STRICT_TITLE,
    VERSION,
    games_on_offer,
    players_installed,
    squid_archive,
)
from e2e.games import PATIENCE_S, Game, server_of
from e2e.stack import START_S, Stack
from real_parts.minecraft import Bots

__all__ = ["games_on_offer", "players_installed", "squid_archive"]
pytestmark = [
    pytest.mark.real("npm", "chromium", "portal"),
    pytest.mark.timeout(START_S + BUILD_LIMIT_S + 900),
    pytest.mark.usefixtures("games_on_offer"),
]
PATIENCE_MS = PATIENCE_S * 1000


@pytest.fixture
async def game(page: Page, stack: Stack) -> AsyncIterator[Game]:
    """A server that a person has just created in this browser."""
    await sign_in(page, stack)
    vmid = await create_by_form(page)
    game = Game(stack, vmid)
    yield game
    await game.end()


async def test_a_person_runs_a_game_server(page: Page, game: Game, players_installed: Path) -> None:
    """Each step shows, who plays appears, a command is answered, a version changes, and a backup brings all back."""
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
    await expect(page.get_by_test_id(f"step-install {STRICT} {VERSION}")).to_have_attribute("data-state", "done")
    await page.get_by_role("tab", name="Game").click()
    port = await game.public_port()
    await expect(page.get_by_test_id("game-address")).to_have_text(f"game-{game.vmid}.localhost:{port}")
    bots = await Bots.start(players_installed, port)
    try:
        await see_players(page, bots)
        await see_plots(page, game)
        await command(page, game)
        await change_version(page, game, bots)
    finally:
        await bots.close()
    await go_back(page, game)
    await see_history(page)
    await read_console(page)


async def create_by_form(page: Page) -> int:
    """Fill in the form, with what is wrong first; return the VMID of what was made."""
    await page.get_by_role("link", name="Create container").first.click()
    await page.get_by_role("radiogroup", name="Kind").get_by_text("Game server").click()
    await page.get_by_test_id(f"template-{STRICT}").click()
    await choose(page, page.get_by_test_id("game-version"), VERSION)
    create = page.get_by_role("button", name="Create container")
    await expect(create).to_be_disabled()
    await page.get_by_test_id("agreement").check()
    await expect(create).to_be_enabled()
    # What the page knows to be wrong is told as it is typed, and what the API refuses stands at its field too.
    players = page.get_by_label("Players at most")
    await players.fill("500")
    await expect(described_by(page, players)).to_contain_text("a whole number from 1 to 100")
    await expect(create).to_be_disabled()
    await players.fill("40")
    await page.get_by_test_id("variable-online_mode").uncheck()
    mode = page.get_by_test_id("variable-mode")
    await mode.fill("--help")
    await create.click()
    await expect(described_by(page, mode)).to_contain_text("cannot begin with -")
    await mode.fill("plain")
    await create.click()
    await page.wait_for_url(re.compile(r"/containers/\d+"))
    return int(page.url.partition("/containers/")[2].partition("/")[0])


async def read_console(page: Page) -> None:
    """The server's own stands where others have a shell, and is read also while the server is off."""
    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.get_by_role("button", name="Server console")).to_have_attribute("aria-pressed", "true")
    state = page.get_by_test_id("terminal-state")
    await expect(state).to_contain_text("Attached: it runs", timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(state).to_contain_text("Attached: it does not run", timeout=PATIENCE_MS)
    await expect(page.locator(".xterm-rows")).not_to_be_empty()


async def choose(page: Page, field: Locator, wanted: str) -> None:
    """Take the entry of a list that begins with a text."""
    await field.click()
    await page.get_by_role("option", name=re.compile(f"^{re.escape(wanted)}")).click()


def described_by(page: Page, field: Locator) -> Locator:
    """Return what stands at a field."""
    return page.locator(".mantine-InputWrapper-root").filter(has=field)


async def see_players(page: Page, bots: Bots) -> None:
    """They appear as they join, and those who have left stand under those of before."""
    await expect(page.get_by_test_id("player-count")).to_have_text("0 of 40")
    await bots.join("ada", "bob")
    now = page.get_by_role("list", name="Players now")
    await expect(now.get_by_role("listitem")).to_have_count(2)
    await expect(now).to_contain_text("ada")
    await expect(page.get_by_test_id("player-count")).to_have_text("2 of 40")
    await bots.quit("bob")
    await expect(now.get_by_role("listitem")).to_have_count(1)
    await page.get_by_text("Before", exact=True).click()
    before = page.get_by_role("list", name="Players before")
    await expect(before).to_contain_text("bob")
    await expect(before).to_contain_text("plays now")
    await page.get_by_text("Now", exact=True).click()


async def see_plots(page: Page, game: Game) -> None:
    """The curve of players is drawn once the server was looked at twice."""
    async with asyncio.timeout(PATIENCE_S):
        while len((await game.ask("GET", "/telemetry"))["points"]) < 1:
            await asyncio.sleep(0.5)
    over_time = page.get_by_role("region", name="Over time")
    await expect(over_time.locator("canvas").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(over_time).to_contain_text("Players")


async def command(page: Page, game: Game) -> None:
    """A name is completed, its usage stands below, and what was sent is there with where its answer is."""
    line = page.get_by_test_id("command")
    await line.press_sequentially("sa")
    await page.get_by_role("option", name="say").click()
    await expect(line).to_have_value("say ")
    await line.press_sequentially("hello there")
    await expect(page.get_by_text("say <message>")).to_be_visible()
    await line.press("Enter")
    await expect(page.get_by_test_id("answers")).to_contain_text("> say hello there")
    async with asyncio.timeout(PATIENCE_S):
        while "hello there" not in await asyncio.to_thread(read_logs, game.folder / "logs"):
            await asyncio.sleep(0.2)
    # All that the server says stands in its console, which is linked here and on the overview.
    await page.get_by_role("link", name="console", exact=True).first.click()
    await expect(page.locator(".xterm-rows")).to_contain_text("hello there")
    await page.get_by_role("tab", name="Overview").click()
    await page.get_by_role("link", name="server", exact=True).click()
    await expect(page.locator(".xterm-rows")).to_contain_text("hello there")
    await page.get_by_role("tab", name="Game").click()


def read_logs(folder: Path) -> str:
    """Return what the server has written down."""
    return "".join(path.read_text() for path in folder.iterdir())


async def change_version(page: Page, game: Game, bots: Bots) -> None:
    """What will happen is told before; the badge says how far it is, and a backup is there afterwards."""
    await asyncio.to_thread((game.folder / "mine.txt").write_text, "mine")
    await page.get_by_role("button", name="Change the version").click()
    dialog = page.get_by_role("dialog")
    await choose(page, dialog.get_by_test_id("version-choice"), NEXT_VERSION)
    await expect(dialog.get_by_test_id("what-happens")).to_contain_text("players are disconnected")
    await dialog.get_by_role("button", name=f"Go to {NEXT_VERSION}").click()
    await expect(page.get_by_test_id("installed-version")).to_contain_text(f"on the way to {NEXT_VERSION}")
    await bots.wait_gone("ada")
    await expect(page.get_by_test_id("installed-version")).to_have_text(
        re.compile(f"{re.escape(NEXT_VERSION)}$"), timeout=PATIENCE_MS
    )
    await expect(page.get_by_test_id("game-state")).to_have_text("In place")
    await game.wait_version(NEXT_VERSION)


async def go_back(page: Page, game: Game) -> None:
    """It asks once more, names what is lost, and the server is as it was."""
    await asyncio.to_thread((game.folder / "mine.txt").write_text, "changed")
    await page.get_by_role("button", name=f"Restore the backup of {VERSION}").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("What has come since is lost")
    await dialog.get_by_role("button", name="Replace everything").click()
    await game.wait_version(VERSION)
    await expect(page.get_by_test_id("installed-version")).to_have_text(re.compile(f"{re.escape(VERSION)}$"))
    assert await asyncio.to_thread((game.folder / "mine.txt").read_text) == "mine"
    assert server_of(await game.stack.status(game.vmid))["state"] == "running"


async def see_history(page: Page) -> None:
    """All of it stands in the history of the container, in sentences."""
    await page.get_by_role("tab", name="History").click()
    entries = page.get_by_test_id("history-entry")
    for text in (
        f"{STRICT_TITLE} {VERSION} was put in place.",
        f"A backup of version {VERSION} was made.",
        f"{STRICT_TITLE} {NEXT_VERSION} has taken the place of {VERSION}.",
        f"The backup of version {VERSION} was restored.",
    ):
        await expect(entries.filter(has_text=text)).to_have_count(1)

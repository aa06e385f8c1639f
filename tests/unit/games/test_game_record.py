"""The record of a game server, written by several who know nothing of each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from zlh_agent.games.model import GameRecord
from zlh_agent.games.store import GameStore
from zlh_agent.games.works import GamePlace, GameWorks


class SlowStore(GameStore):
    """Its first write waits until somebody lets it go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def save(self, record: GameRecord) -> None:
        """Keep it, the first one late."""
        if not self.begun.is_set():
            self.begun.set()
            assert self.goes_on.wait(60)
        super().save(record)


@pytest.fixture
def store(tmp_path: Path) -> SlowStore:
    """Return a store whose first write is slow."""
    store = SlowStore(tmp_path / "state")
    store.prepare()
    return store


@pytest.fixture
def works(store: SlowStore, tmp_path: Path) -> GameWorks:
    """Return what writes the record."""
    return GameWorks(GamePlace(tmp_path / "game", tmp_path, (), (), user=lambda: None), store, FakeClock())


async def test_two_who_write_at_once_take_nothing_back(works: GameWorks, store: SlowStore) -> None:
    """A comparison that is noted while names are being given says nothing against that."""
    first = asyncio.create_task(works.keep(faults=3))
    await asyncio.to_thread(store.begun.wait, 60)
    second = asyncio.create_task(works.keep(staged="content"))
    await asyncio.sleep(0)
    store.goes_on.set()
    await asyncio.gather(first, second)
    assert (works.record.faults, works.record.staged) == (3, "content")
    assert await asyncio.to_thread(store.load) == works.record


async def test_a_write_that_nobody_waits_for_any_more_comes_before_the_next(works: GameWorks, store: SlowStore) -> None:
    """An act that is called off in the middle of it leaves no late write behind."""
    first = asyncio.create_task(works.keep(staged="old"))
    await asyncio.to_thread(store.begun.wait, 60)
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(works.keep(staged="new"))
    await asyncio.sleep(0)
    store.goes_on.set()
    await second
    assert works.record.staged == "new"
    assert await asyncio.to_thread(store.load) == works.record


async def test_a_secret_is_made_once_though_several_ask_for_it(tmp_path: Path) -> None:
    """What is written into a configuration is what the remote console is asked with."""
    store = GameStore(tmp_path / "state")
    await asyncio.to_thread(store.prepare)
    asked = (asyncio.to_thread(store.ensure_secrets, ["rcon", f"other{number}"]) for number in range(16))
    assert len({found["rcon"] for found in await asyncio.gather(*asked)}) == 1
    kept = await asyncio.to_thread(store.ensure_secrets, [])
    assert len(kept) == 17

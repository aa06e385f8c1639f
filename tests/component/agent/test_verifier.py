"""Checks of installed versions: shared, called off, told once, and made each day, by the real child."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.installed_tree import NOW, lay_out
from zlh_agent.runtimes.checking import verifier
from zlh_agent.runtimes.checking.verifier import Verifier
from zlh_agent.runtimes.errors import RuntimeBusy, RuntimeChildFailed, RuntimeNotInstalled
from zlh_agent.runtimes.plan import Version
from zlh_agent.runtimes.store import Installed, RuntimeStore

DAY_S = 86_400.0
ONE: Version = ("a", "1")


class Bench:
    """A folder with versions, and the verifier of an agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(NOW)
        self.told: list[tuple[str, Version]] = []
        self.tree = lay_out(folder / "runtimes", *ONE)
        self.verifier = self.make()

    def make(self) -> Verifier:
        """Return the verifier of an agent that starts now."""
        return Verifier(self.folder / "state", self.clock, note=self.note, find_user=nobody_else)

    async def note(self, kind: str, key: Version, _text: str, /, **_facts: str | int) -> None:
        """Keep what is told."""
        self.told.append((kind, key))

    @property
    def installed(self) -> tuple[Installed, ...]:
        """What lies on the disk."""
        return RuntimeStore(self.folder / "runtimes").load().installed

    def spoil(self) -> None:
        """Change a file."""
        (self.tree / "share/data").write_text("other")

    def report(self) -> tuple[bool, int]:
        """Return what the status says of version 1."""
        entry = self.verifier.find(self.installed, ONE)
        told = self.verifier.report(entry, is_previous=False)
        return told.verified, told.faults


async def nobody_else() -> None:
    """Let children stay who they are."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a bench whose children end with the test."""
    made = await asyncio.to_thread(Bench, tmp_path)
    yield made
    await made.verifier.close()


async def test_what_was_found_is_known_to_the_next_agent(bench: Bench) -> None:
    """And belongs to the very install: one that is made anew has not been checked."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    await asyncio.to_thread(bench.spoil)
    assert not (await bench.verifier.verify(installed, ONE)).verified
    bench.verifier = bench.make()
    await bench.verifier.load()
    assert await asyncio.to_thread(bench.report) == (False, 1)
    async with bench.verifier.changing(ONE, is_rewritten=True):
        pass
    assert await asyncio.to_thread(bench.report) == (True, 0)
    bench.verifier = bench.make()
    await bench.verifier.load()
    assert await asyncio.to_thread(bench.report) == (True, 0)


async def test_who_asks_while_it_runs_shares_it(bench: Bench) -> None:
    """One child, one answer; whoever goes leaves it to the others."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    asking = [asyncio.create_task(bench.verifier.verify(installed, ONE)) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking[1:])
    assert len({id(answer) for answer in answers}) == 1
    assert bench.told == [("verified", ONE)]
    with pytest.raises(RuntimeNotInstalled):
        await bench.verifier.verify(installed, ("a", "9"))


async def test_a_version_that_is_changed_is_not_checked(bench: Bench) -> None:
    """A check that runs is called off, and none begins until the change is over."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    asking = asyncio.create_task(bench.verifier.verify(installed, ONE))
    await asyncio.sleep(0.01)
    async with bench.verifier.changing(ONE, is_rewritten=True):
        with pytest.raises(RuntimeBusy):
            await asking
        with pytest.raises(RuntimeBusy):
            await bench.verifier.verify(installed, ONE)
    assert (await bench.verifier.verify(installed, ONE)).verified


async def test_who_asks_does_not_wait_for_a_check_of_low_priority(bench: Bench) -> None:
    """It could take an hour on a machine that is busy; the one that was asked for takes its place."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    idle = asyncio.create_task(bench.verifier.verify(installed, ONE, is_idle=True))
    await asyncio.sleep(0.01)
    assert (await bench.verifier.verify(installed, ONE)).verified
    with pytest.raises(RuntimeBusy):
        await idle
    assert (await bench.verifier.verify(installed, ONE, is_idle=True)).verified


async def test_a_check_that_is_called_off_before_it_begins_leaves_nothing(bench: Bench) -> None:
    """The next one is made as usual."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    asking = asyncio.create_task(bench.verifier.verify(installed, ONE))
    await asyncio.sleep(0)
    async with bench.verifier.changing(ONE, is_rewritten=True):
        pass
    with pytest.raises(RuntimeBusy):
        await asking
    assert (await bench.verifier.verify(installed, ONE)).verified


async def until_told(bench: Bench, count: int) -> None:
    """Let hours pass until so much was told."""
    async with asyncio.timeout(20):
        while len(bench.told) < count:
            bench.clock.advance(3600)
            await asyncio.sleep(0.02)


async def test_each_version_is_checked_each_day_and_news_are_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stays as it is from one day to the next is not told again, and what is mended is."""
    checks: list[bool] = []
    compare = Verifier._compare

    async def count(self: Verifier, entry: Installed, *, is_idle: bool) -> object:
        checks.append(is_idle)
        return await compare(self, entry, is_idle=is_idle)

    monkeypatch.setattr(Verifier, "_compare", count)
    installed = await asyncio.to_thread(lambda: bench.installed)
    running = asyncio.create_task(bench.verifier.check_for_ever(lambda: installed))
    try:
        for hours in range(23):
            bench.clock.advance(3600)
            await asyncio.sleep(0.005)
            assert not checks, hours
        await asyncio.to_thread(bench.spoil)
        await until_told(bench, 1)
        assert bench.told == [("changed", ONE)]
        for _ in range(100):
            bench.clock.advance(3600)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            while len(checks) < 3:
                bench.clock.advance(3600)
                await asyncio.sleep(0.02)
        assert len(bench.told) == 1
        await asyncio.to_thread((bench.tree / "share/data").write_text, "x" * 1000)
        await until_told(bench, 2)
        assert bench.told[1:] == [("verified", ONE)]
        assert all(checks)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_child_that_dies_is_told_and_leaves_what_was_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is believed of a check that did not come to its end."""
    installed = await asyncio.to_thread(lambda: bench.installed)
    monkeypatch.setattr(verifier, "ASKED_LIMIT_S", 0.001)
    with pytest.raises(RuntimeChildFailed):
        await bench.verifier.verify(installed, ONE)
    assert await asyncio.to_thread(bench.report) == (True, 0)
    assert bench.told == []

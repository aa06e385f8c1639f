"""The loop that makes a spec so: in order, tried again in time, called off by a newer one, and never without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from fakes.runtimes import FakeRuntimes
from zlh_agent.runtimes.plan import Held
from zlh_agent.spec.rules import SHOW_REMOVED_S
from zlh_agent.spec.service import SpecService
from zlh_agent.spec.store import SpecStore
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.runtime import RuntimeUser
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import Step, StepState

WEB = RuntimeUser(pid=7, name="node", owner="process web")


class NoProcesses:
    """Processes are nobody's business here."""

    async def apply(self, wanted: tuple[WantedProcess, ...]) -> None:
        """Take them."""


class Bench:
    """A loop that runs on a disk in memory."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.runtimes = FakeRuntimes(self.clock)
        processes: Any = NoProcesses()
        store = SpecStore(folder)
        self.spec = SpecService(store, self.runtimes, processes, self.clock, on_change=self._note_change)
        self.generation = 0
        self.seen: list[tuple[Step, ...]] = []

    def _note_change(self) -> None:
        self.seen.append(self.spec.view().steps)

    async def want(self, *runtimes: WantedRuntime) -> None:
        """Send the next spec."""
        self.generation += 1
        await self.spec.accept(AgentSpec(generation=self.generation, runtimes=runtimes), unknown_fields=())

    async def reached(self) -> None:
        """Wait until the newest spec was reached."""
        await until(lambda: self.spec.view().observed_generation == self.generation)

    def steps(self) -> dict[str, tuple[StepState, str | None]]:
        """Return state and code of each step."""
        return {step.name: (step.state, step.code) for step in self.spec.view().steps}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.002)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a bench whose loop ends with the test."""
    made = Bench(tmp_path)
    running = asyncio.create_task(made.spec.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await made.runtimes.close()


def a(version: str, *, default: bool = True, previous: bool = False, attempt: int = 0) -> WantedRuntime:
    """Return a wanted version of `a`."""
    return WantedRuntime(name="a", version=version, default=default, previous=previous, attempt=attempt)


async def test_what_is_wanted_comes_and_the_rest_goes(bench: Bench) -> None:
    """Defaults first, removals last, each once."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    await bench.want(a("1", default=False), a("2"))
    await bench.reached()
    assert bench.runtimes.calls == ["install a 2", "install a 1", "remove b 1"]
    assert {state for state, _ in bench.steps().values()} == {StepState.DONE}
    assert list(bench.steps()) == ["install-a-1", "install-a", "remove-b-1"]


async def test_steps_of_removals_are_shown_for_a_while(bench: Bench) -> None:
    """Whoever looks soon after sees that it went well; nobody reads of it for ever."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    await bench.want(a("1"))
    await bench.reached()
    assert "remove-b-1" in bench.steps()
    bench.clock.advance(SHOW_REMOVED_S + 1)
    assert list(bench.steps()) == ["install-a"]


@pytest.mark.parametrize("order", ["hang", "download_failed"])
async def test_runtimes_are_there_whatever_becomes_of_an_addon(bench: Bench, order: str) -> None:
    """Nobody who waits for them waits for an editor, or is kept by one that cannot be installed."""
    bench.runtimes.orders = {"install editor 1": [order]}
    bench.runtimes.may_pass = False
    wanted = AgentSpec(generation=1, runtimes=(a("1"),), addons=(WantedRuntime(name="editor", version="1"),))
    await bench.spec.accept(wanted, unknown_fields=())
    assert not bench.spec.has_runtimes()
    await until(bench.spec.has_runtimes)
    await until(lambda: "install editor 1" in bench.runtimes.calls)
    assert bench.spec.has_runtimes()


async def test_a_failure_that_may_pass_is_tried_again_and_holds_up_nothing_else(bench: Bench) -> None:
    """The generation is not reached before it has."""
    bench.runtimes.orders["install a 1"] = ["no_net", "no_net"]
    await bench.want(a("1"), WantedRuntime(name="b", version="1"))
    await until(lambda: bench.steps()["install-b"][0] is StepState.DONE)
    assert (bench.steps()["install-a"], bench.spec.view().observed_generation) == ((StepState.FAILED, "no_net"), 0)
    assert bench.runtimes.has_downloads
    for _ in range(2):
        bench.clock.advance(60)
        bench.spec._changed.set()
        await asyncio.sleep(0.02)
    await bench.reached()
    assert bench.runtimes.calls == ["install a 1", "install b 1", "install a 1", "install a 1"]
    assert not bench.runtimes.has_downloads


async def test_a_failure_for_good_is_not_tried_again_under_its_spec(bench: Bench) -> None:
    """The generation counts as reached; the next spec tries anew."""
    bench.runtimes.may_pass = False
    bench.runtimes.orders["install a 1"] = ["not_offered"]
    await bench.want(a("1"))
    await bench.reached()
    bench.clock.advance(3600)
    bench.spec._changed.set()
    await asyncio.sleep(0.02)
    assert bench.runtimes.calls == ["install a 1"]
    await bench.want(a("1"))
    await bench.reached()
    assert bench.runtimes.calls == ["install a 1", "install a 1"]
    assert bench.steps()["install-a"] == (StepState.DONE, None)


@pytest.mark.parametrize("may_pass", [True, False])
async def test_what_a_killed_child_has_done_is_done(may_pass: bool, bench: Bench) -> None:
    """Its last word did not come, and the disk tells: nobody does it again, and the step is no failure."""
    bench.runtimes.may_pass = may_pass
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.orders = {"install a 1": ["late:install_interrupted"], "remove b 1": ["late:runtime_child_failed"]}
    await bench.want(a("1"))
    await bench.reached()
    assert bench.runtimes.calls == ["install a 1", "remove b 1"]
    assert bench.steps() == {"install-a": (StepState.DONE, None), "remove-b-1": (StepState.DONE, None)}


async def test_a_newer_spec_calls_off_what_it_does_not_want(bench: Bench) -> None:
    """At once, as no failure, and what it leaves is tidied before the next thing begins."""
    bench.runtimes.orders["install a 1"] = ["hang"]
    await bench.want(a("1"))
    await bench.runtimes.hanging.wait()
    await bench.want(a("2"))
    await bench.reached()
    assert bench.runtimes.calls == ["install a 1", "tidy", "install a 2"]
    assert not any(step.state is StepState.FAILED for steps in bench.seen for step in steps)


@pytest.mark.parametrize("newer", [a("1", attempt=1), a("1", default=False)])
async def test_the_same_version_wanted_otherwise_begins_anew(newer: WantedRuntime, bench: Bench) -> None:
    """It would have been switched to, or kept from before."""
    bench.runtimes.orders["install a 1"] = ["hang"]
    await bench.want(a("1"))
    await bench.runtimes.hanging.wait()
    await bench.want(newer, *(() if newer.default else (a("2"),)))
    await bench.reached()
    assert bench.runtimes.calls.count("install a 1") == 2
    assert bench.runtimes.disk[("a", "1")].is_current == newer.default


async def test_what_a_newer_spec_wants_as_well_goes_on(bench: Bench) -> None:
    """Its step stays what it is, and it is not begun again."""
    bench.runtimes.orders["install a 1"] = ["hang"]
    await bench.want(a("1"))
    await bench.runtimes.hanging.wait()
    for _ in range(100):
        await bench.want(a("1"), WantedRuntime(name="b", version="1"))
    assert bench.steps()["install-a"][0] is StepState.RUNNING
    assert bench.runtimes.calls == ["install a 1"]


async def test_what_is_in_use_waits_and_the_spec_is_reached(bench: Bench) -> None:
    """It is removed soon after a process has changed; until then its step names who it waits for."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.used[("b", "1")] = [WEB]
    await bench.want(a("1"))
    await bench.reached()
    assert bench.steps()["remove-b-1"] == (StepState.PENDING, "runtime_in_use")
    (step,) = [step for step in bench.spec.view().steps if step.name == "remove-b-1"]
    assert "process web (pid 7)" in (step.message or "")
    bench.runtimes.used.clear()
    bench.spec.look_again()
    await until(lambda: bench.steps()["remove-b-1"] == (StepState.DONE, None))
    assert bench.runtimes.calls == ["install a 1", "remove b 1"]


async def test_a_user_that_goes_while_users_are_looked_for_is_not_waited_for(bench: Bench) -> None:
    """The look has seen it and its end was told before the answer counted: it is looked again at once."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.used[("b", "1")] = [WEB]

    def go() -> None:
        if bench.runtimes.used:
            bench.runtimes.used.clear()
            bench.spec.look_again()

    bench.runtimes.after_look = go
    await bench.want()
    await until(lambda: bench.steps().get("remove-b-1") == (StepState.DONE, None))
    assert bench.runtimes.calls == ["remove b 1"]


async def test_where_nobody_can_tell_nothing_is_removed(bench: Bench) -> None:
    """And that is what the step says."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.is_use_unknown = True
    await bench.want(a("1"))
    await bench.reached()
    assert bench.steps()["remove-b-1"] == (StepState.PENDING, "runtime_use_unknown")
    assert bench.runtimes.calls == ["install a 1"]


async def test_a_process_that_flaps_brings_no_early_retry(bench: Bench) -> None:
    """A removal is looked at again, and what has failed waits for its time all the same."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.used[("b", "1")] = [WEB]
    bench.runtimes.orders["install a 1"] = ["no_net"] * 100
    await bench.want(a("1"))
    await until(lambda: bench.steps()["install-a"][0] is StepState.FAILED)
    for _ in range(20):
        bench.spec.look_again()
        bench.spec._changed.set()
        await asyncio.sleep(0.005)
    assert bench.runtimes.calls == ["install a 1"]


async def test_what_somebody_else_has_removed_is_no_step(bench: Bench) -> None:
    """A tree that has gone while its removal waited leaves nothing to wait for."""
    bench.runtimes.disk[("b", "1")] = Held("b", "1", is_current=True)
    bench.runtimes.used[("b", "1")] = [WEB]
    await bench.want(a("1"))
    await bench.reached()
    del bench.runtimes.disk["b", "1"]
    bench.spec.look_again()
    await until(lambda: "remove-b-1" not in bench.steps())
    assert bench.runtimes.calls == ["install a 1"]

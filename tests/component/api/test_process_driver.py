"""The `process` driver, with real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from fakes.warrant import FakeWarrant
from zlh_api.containers.model import Guest
from zlh_api.drivers import process
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.nameless_folders import find_nameless, hold_if_free, make_beginning
from zlh_api.drivers.port import GuestFailed, GuestPlan, GuestSeen, Identity
from zlh_api.drivers.process import ProcessDriver
from zlh_api.marked_processes import find_marked
from zlh_common.names import CONTAINER_MARK, OwnerMark, Vmid
from zlh_common.schema.resources import Resources
from zlh_common.trees import delete_tree

# A shim whose program takes its time.
_PATIENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
# As many as there are threads to wait in, and more.
_GUESTS = (os.cpu_count() or 1) + 8


@asynccontextmanager
async def _shim(owner: OwnerMark) -> AsyncIterator[None]:
    """Run a shim of a guest for the length of the block."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _PATIENT, "zlh-shim:web"),
        env={CONTAINER_MARK: owner},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert running.stdout is not None
        assert await running.stdout.readline() == b"up\n"
        yield
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.communicate()


async def test_guests_that_take_their_time_to_stop_keep_no_thread(tmp_path: Path) -> None:
    """Sign-ins, files and all other guests need those."""
    driver = ProcessDriver(root=tmp_path, settings=AgentSettings("http://127.0.0.1:1", 7443, ("stable",)))
    owners = [OwnerMark(str(uuid4())) for _ in range(_GUESTS)]
    async with AsyncExitStack() as scope:
        await asyncio.gather(*(scope.enter_async_context(_shim(owner)) for owner in owners))
        stops = [
            asyncio.create_task(driver.ensure_stopped(plan, FakeWarrant(plan)))
            for plan in (
                GuestPlan(owner, Vmid(100 + number), "dev", None, Resources()) for number, owner in enumerate(owners)
            )
        ]
        await asyncio.sleep(1)
        async with asyncio.timeout(10):
            await asyncio.to_thread(os.getpid)
        assert not [stop.exception() for stop in stops if stop.done()]
        for stop in stops:
            stop.cancel()
        await asyncio.gather(*stops, return_exceptions=True)


def _plan(root: Path) -> tuple[ProcessDriver, GuestPlan]:
    driver = ProcessDriver(root=root, settings=AgentSettings("http://127.0.0.1:1", 7443, ("stable",)))
    return driver, GuestPlan(OwnerMark(str(uuid4())), Vmid(101), "dev", "127.0.0.1", Resources())


async def test_processes_without_a_folder_are_still_a_guest(tmp_path: Path) -> None:
    """Whose folder a hand has taken away is not gone as long as it runs, so neither deleted nor made anew beside it."""
    driver, plan = _plan(tmp_path)
    warrant = FakeWarrant(plan)
    async with _agent(plan.owner, tmp_path):
        assert (await driver.observe(plan)).state is Guest.HALF_MADE
        assert [(found.vmid, found.owner, found.state) for found in await driver.survey()] == [
            (None, plan.owner, Guest.HALF_MADE)
        ]
        await driver.ensure_created(plan, warrant)
        assert await asyncio.to_thread(find_marked, CONTAINER_MARK, plan.owner) == []
    assert (await driver.observe(plan)).state is Guest.STOPPED


async def test_agents_of_other_installations_are_none_of_ours(tmp_path: Path) -> None:
    """Theirs carry the same kind of mark."""
    driver, _ours = _plan(tmp_path / "ours")
    async with _agent(OwnerMark(str(uuid4())), tmp_path / "theirs"):
        assert await driver.survey() == []


async def test_a_guest_without_its_agent_is_not_off(tmp_path: Path) -> None:
    """What the agent supervised goes on without it, until the guest is stopped."""
    driver, plan = _plan(tmp_path)
    warrant = FakeWarrant(plan)
    await driver.ensure_created(plan, warrant)
    async with _shim(plan.owner):
        assert await driver.observe(plan) == GuestSeen(Guest.STOPPED, is_tidy=False)
        await driver.ensure_stopped(plan, warrant, at_once=True)
        assert await driver.observe(plan) == GuestSeen(Guest.STOPPED)


async def test_a_folder_that_was_not_deleted_to_its_end_is_still_a_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is gone first; whoever comes next finds it by its owner, and so does the survey."""
    driver, plan = _plan(tmp_path)
    warrant = FakeWarrant(plan)
    await driver.ensure_created(plan, warrant)

    def refuse(tree: Path) -> None:
        if ".gone-" in tree.name:
            raise OSError("it stays")
        delete_tree(tree)

    with monkeypatch.context() as patch:
        patch.setattr(process, "delete_tree", refuse)
        with pytest.raises(GuestFailed, match="it stays"):
            await driver.ensure_destroyed(plan, warrant)
    assert (await driver.observe(plan)).state is Guest.HALF_MADE
    assert [found.state for found in await driver.survey()] == [Guest.HALF_MADE]
    await driver.ensure_destroyed(plan, warrant)
    assert (await driver.observe(plan)).state is Guest.ABSENT
    assert await asyncio.to_thread(find_nameless, tmp_path) == []


async def test_a_start_beside_it_sweeps_no_guest_that_is_being_made(tmp_path: Path) -> None:
    """Two processes of ours have the same folder; what nobody holds is left of a crash."""
    driver, plan = _plan(tmp_path)
    held, _left = [await asyncio.to_thread(make_beginning, tmp_path, plan.owner) for _ in range(2)]
    with hold_if_free(held) as is_held:
        assert is_held
        await driver.prepare()
        assert await asyncio.to_thread(find_nameless, tmp_path) == [(plan.owner, held)]


async def test_keys_do_not_bring_back_a_folder_that_was_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be nobody's, and stand in the way of the guest whose it was for ever."""
    driver, plan = _plan(tmp_path)
    warrant = FakeWarrant(plan)
    await driver.ensure_created(plan, warrant)
    # The hand is faster than the first file, and slower than the look at whose the folder is.
    monkeypatch.setattr(warrant, "check", lambda: delete_tree(tmp_path / "101"))
    with pytest.raises(GuestFailed, match="Putting the agent's keys in failed"):
        await driver.ensure_identity(plan, Identity(b"", b"", b"", b""), warrant)
    assert (await driver.observe(plan)).state is Guest.ABSENT


@asynccontextmanager
async def _agent(owner: OwnerMark, root: Path) -> AsyncIterator[None]:
    """Run what looks like the agent of a guest below `root`."""
    argv = ("-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(60)")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, *argv, "zlh_agent", "--config", str(root / "101/root/etc/zlh/agent.toml")),
        env={CONTAINER_MARK: owner},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert running.stdout is not None
        assert await running.stdout.readline() == b"up\n"
        yield
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.communicate()

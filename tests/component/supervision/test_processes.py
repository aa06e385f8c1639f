"""Real processes that crash, finish, hang, ignore signals and leave children behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from component.console.harness import eventually
from component.supervision.harness import PATIENCE_S, Keeper, launch, shell, wait_status
from fakes.clock import ScaledClock
from zlh_agent.shim.model import Launch
from zlh_agent.shim.records import read_run_record
from zlh_agent.supervision.errors import ProcessNotFound
from zlh_common.schema.process import ProcessPolicy, RestartPolicy, StopPolicy, WantedProcess
from zlh_common.schema.status import ProcessStatus


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    keeper = Keeper(tmp_path)
    yield keeper
    await keeper.clear()


def is_waiting(status: ProcessStatus, *, count: int) -> bool:
    return (status.state, status.restarts) == ("backoff", count)


async def test_a_process_runs_and_stops(keeper: Keeper) -> None:
    """Started since the spec says so, stopped since the spec says so."""
    wanted = shell("echo up; sleep 1000")
    service = await keeper.start(wanted)
    status = await wait_status(service, lambda status: status.state == "running")
    assert status.pid is not None
    await service.apply([shell("echo up; sleep 1000", power="off")])
    status = await wait_status(service, lambda status: status.state == "stopped")
    assert status.signal == "SIGTERM"


async def test_crashes_wait_longer_each_time_and_end_in_error(keeper: Keeper) -> None:
    """30, 60 and 120 s on a clock that runs 100 times as fast, then error; then again when somebody says so."""
    keeper.clock = ScaledClock(100)
    service = await keeper.start(shell("echo try; exit 3"))
    seen = []
    for count in (1, 2, 3):
        status = await wait_status(service, partial(is_waiting, count=count))
        assert status.next_restart_at is not None
        seen.append((status.next_restart_at - keeper.clock.now()).total_seconds())
    assert seen == pytest.approx([30, 60, 120], abs=20)
    status = await wait_status(service, lambda status: status.state == "error")
    assert (status.exit_code, status.restarts) == (3, 3)
    service.retry("web")
    await wait_status(service, lambda status: status.state == "backoff" and status.restarts == 1)


async def test_a_child_that_ignores_sigterm_is_killed_with_all_it_has_started(keeper: Keeper) -> None:
    """The deadline holds for daemons of its own too."""
    policy = ProcessPolicy(stop=StopPolicy(grace_s=0.5))
    ready = keeper.folder / "ready"
    daemon = f"setsid sh -c 'trap \"\" TERM; touch {ready}; sleep 1000' &"
    command = f"trap '' TERM; ({daemon}) ; while :; do sleep 1; done"
    service = await keeper.start(shell(command, policy=policy))
    await wait_status(service, lambda status: status.state == "running")
    await eventually(ready.exists)
    await service.apply([shell(command, policy=policy, power="off")])
    status = await wait_status(service, lambda status: status.state == "stopped")
    assert status.signal == "SIGKILL"


async def test_a_start_that_breaks_in_a_way_that_nobody_foresaw_is_tried_again(keeper: Keeper) -> None:
    """It is told like every other failed start, and nothing waits for ever."""
    keeper.clock = ScaledClock(100)
    lookups = iter([KeyError("no such group")])

    def launch_later(wanted: WantedProcess) -> Launch:
        if error := next(lookups, None):
            raise error
        return launch(wanted)

    keeper.launch = launch_later
    service = await keeper.start(shell("sleep 1000"))
    status = await wait_status(service, lambda status: status.state == "backoff")
    assert status.reason is not None
    assert status.reason.code == "agent_broke"
    await wait_status(service, lambda status: status.state == "running")


async def test_a_name_that_nobody_has_is_not_found(keeper: Keeper) -> None:
    """By whatever it is asked for."""
    service = await keeper.start(shell("exit 0", power="off"))
    for ask in (service.restart, service.kill, service.retry, service.give_up):
        with pytest.raises(ProcessNotFound):
            ask("nobody")
    with pytest.raises(ProcessNotFound):
        service.view("nobody", None, may_write=True)
    with pytest.raises(ProcessNotFound):
        await service.history("nobody", start=None, limit=100)


async def test_a_disk_that_refuses_to_be_read_is_no_history_that_is_gone(keeper: Keeper, tmp_path: Path) -> None:
    """It is a failure of the agent's, and not told as if there were no such process."""
    service = await keeper.start(shell("echo up; exit 0"))
    await wait_status(service, lambda status: status.state == "stopped")
    (tmp_path / "state/web/ring").unlink()
    (tmp_path / "state/web/ring").mkdir()
    with pytest.raises(IsADirectoryError):
        await service.history("web", start=None, limit=100)


async def test_exit_0_is_done(keeper: Keeper) -> None:
    """It is not started again, unless the policy says so."""
    service = await keeper.start(shell("exit 0"))
    status = await wait_status(service, lambda status: status.state == "stopped")
    assert status.exit_code == 0
    await service.apply([shell("exit 0", attempt=1, policy=ProcessPolicy(restart=RestartPolicy(when="always")))])
    await wait_status(service, lambda status: status.state == "backoff")


async def test_a_process_goes_on_while_the_agent_is_away(keeper: Keeper) -> None:
    """The same child, the same state."""
    wanted = shell("echo up; sleep 1000")
    service = await keeper.start(wanted)
    before = await wait_status(service, lambda status: status.state == "running")
    await service.detach()
    again = await keeper.start(wanted)
    after = await wait_status(again, lambda status: status.state == "running")
    assert (after.pid, after.started_at) == (before.pid, before.started_at)


async def test_a_newer_command_counts_from_the_next_start_on(keeper: Keeper) -> None:
    """Until then the process is told as outdated, to a later agent as well."""
    old, new = shell("echo old; sleep 1000"), shell("echo new; sleep 1000")
    service = await keeper.start(old)
    await wait_status(service, lambda status: status.state == "running" and not status.outdated)
    await service.apply([new])
    before = await wait_status(service, lambda status: status.outdated)
    await service.detach()
    service = await keeper.start(new)
    await wait_status(service, lambda status: status.outdated and status.pid == before.pid)
    service.restart("web")
    await wait_status(service, lambda status: status.state == "running" and not status.outdated)
    await service.apply([shell("echo new; sleep 1000", policy=ProcessPolicy(stop=StopPolicy(grace_s=1)))])
    await wait_status(service, lambda status: not status.outdated)


@pytest.mark.parametrize("is_away", [False, True], ids=["the agent looks on", "the agent is away"])
async def test_what_a_dead_shim_leaves_ends_before_the_next_start(
    keeper: Keeper, tmp_path: Path, *, is_away: bool
) -> None:
    """A child that does not care about the hang-up never meets its successor, however soon that may start."""
    script = f"""
        trap '' HUP
        for pid in $(cat {tmp_path}/pids); do grep -qs '^State:.[^Z]' /proc/$pid/status && touch {tmp_path}/both; done
        echo $$ >> {tmp_path}/pids
        while :; do sleep 0.1; done
    """
    (tmp_path / "pids").touch()
    wanted = shell(script, policy=ProcessPolicy(restart=RestartPolicy(delays_s=(0, 0, 0))))
    service = await keeper.start(wanted)
    before = await wait_status(service, lambda status: status.state == "running")
    await eventually(lambda: len((tmp_path / "pids").read_text().split()) == 1)
    if is_away:
        # Whoever comes next knows what was kept, which is a moment later than what is told.
        await eventually(lambda: b'"phase":"running"' in (tmp_path / "state/web/state.json").read_bytes())
        await service.detach()
    os.kill(await find_shim(tmp_path), signal.SIGKILL)
    if is_away:
        service = await keeper.start(wanted)
    after = await wait_status(service, lambda status: status.state == "running" and status.pid != before.pid)
    await eventually(lambda: len((tmp_path / "pids").read_text().split()) == 2)
    assert not (tmp_path / "both").exists()
    assert after.restarts == 1


async def test_a_name_that_is_wanted_again_holds_up_nobody_and_never_runs_twice(keeper: Keeper, tmp_path: Path) -> None:
    """A spec is taken at once, whatever the former holder of a name takes to end; then the new one begins."""
    stubborn = shell(f"trap '' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done", policy=stop_within(4))
    service = await keeper.start(stubborn)
    old = (await wait_status(service, lambda status: status.state == "running")).pid
    assert old is not None
    await eventually((tmp_path / "up").exists)
    async with asyncio.timeout(2):
        await service.apply([])
        await service.apply([shell("echo first; sleep 1000"), shell("sleep 1000", name="other")])
        await service.apply([shell("echo second; sleep 1000"), shell("sleep 1000", name="other")])
        assert psutil.pid_exists(old)
        assert [status.name for status in service.statuses()] == ["other"]
    await eventually(lambda: [status.name for status in service.statuses()] == ["web", "other"])
    assert not psutil.pid_exists(old)
    await wait_status(service, lambda status: status.state == "running")
    async with asyncio.timeout(PATIENCE_S):
        while not (printed := (await service.history("web", start=None, limit=1000)).text):
            await asyncio.sleep(0.01)
    assert printed == "second\r\n"


async def test_a_name_that_is_wanted_again_for_a_moment_leaves_nothing(keeper: Keeper, tmp_path: Path) -> None:
    """What was said last counts."""
    service = await keeper.start(shell("trap '' TERM; while :; do sleep 0.1; done", policy=stop_within(1)))
    await wait_status(service, lambda status: status.state == "running")
    for wanted in ([], [shell("sleep 1000")], []):
        await service.apply(wanted)
    await eventually(lambda: not list((tmp_path / "state").iterdir()))
    assert service.statuses() == ()
    assert not list((tmp_path / "run").glob("web.*"))


def stop_within(grace_s: float) -> ProcessPolicy:
    return ProcessPolicy(stop=StopPolicy(grace_s=grace_s))


async def find_shim(folder: Path) -> int:
    """Return the pid of the only shim."""
    run = await asyncio.to_thread(read_run_record, folder / "run/web.run")
    assert run is not None
    return run.shim.pid


async def test_an_event_that_breaks_ends_no_supervision(keeper: Keeper) -> None:
    """Whatever step it was that nobody foresaw, the process comes to run, and a stop still stops it."""
    told = 0

    def record(_occurrences: object) -> None:
        nonlocal told
        told += 1
        if told in {1, 2, 4}:
            raise RuntimeError("nobody foresaw this")

    keeper.record = record
    service = await keeper.start(shell("echo up; sleep 1000"))
    await wait_status(service, lambda status: status.state == "running")
    await service.apply([shell("echo up; sleep 1000", power="off")])
    await wait_status(service, lambda status: status.state == "stopped" and status.pid is None)
    assert told >= 4

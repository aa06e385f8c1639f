"""Programs that cannot start, will not end, and leave others behind: told in clear words, and never two at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from component.console.harness import eventually
from component.supervision.harness import PATIENCE_S, Keeper, launch, shell, wait_status
from fakes.clock import ScaledClock
from guards.leaks import is_gone
from guards.ports import free_port
from zlh_agent.shim.model import Launch
from zlh_agent.shim.records import read_run_record
from zlh_agent.supervision.service import ProcessService
from zlh_common.processes import read_rows, select_descendants
from zlh_common.schema.process import NothingToRetry, ProcessPolicy, RestartPolicy, StopPolicy, WantedProcess
from zlh_common.schema.status import ProcessStatus

QUICK_STOP = ProcessPolicy(stop=StopPolicy(grace_s=0.5))
ONE_TRY = ProcessPolicy(restart=RestartPolicy(delays_s=()))
NOBODY = 65534


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder of things that are no programs."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "folder").mkdir()
    for name, text, mode in (
        ("plain", "#!/bin/sh\n", 0o644),
        ("no-interpreter", "#!/no/such/interpreter -x\n", 0o755),
        ("no-format", "this is no program\n", 0o755),
        ("looping", f"#!{folder}/looping\n", 0o755),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    yield folder
    shutil.rmtree(folder)


def is_in(status: ProcessStatus, *, state: str) -> bool:
    return status.state == state


async def wait_state(service: ProcessService, state: str) -> ProcessStatus:
    return await wait_status(service, partial(is_in, state=state))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/no/such/program", "/no/such/program: No such file or directory"),
        ("no-such-program", "no-such-program: No such file or directory"),
        ("{folder}/plain", "{folder}/plain: Permission denied"),
        ("plain", "plain: Permission denied"),
        ("{folder}/folder", "{folder}/folder: Permission denied"),
        ("{folder}/plain/below", "{folder}/plain/below: Not a directory"),
        ("{folder}/no-interpreter", "interpreter of {folder}/no-interpreter: No such file or directory"),
        ("no-interpreter", "interpreter of no-interpreter: No such file or directory"),
        ("{folder}/no-format", "{folder}/no-format: Exec format error"),
        ("{folder}/looping", "{folder}/looping: Too many levels of symbolic links"),
    ],
)
async def test_what_cannot_be_started_is_named_with_the_reason(
    keeper: Keeper, programs: Path, program: str, said: str
) -> None:
    """It counts as a start that failed, and nothing has run."""
    wanted = WantedProcess(
        name="web",
        argv=(program.format(folder=programs), "x"),
        environment={"PATH": f"{programs}:/usr/bin:/bin"},
        policy=ONE_TRY,
    )
    service = await keeper.start(wanted)
    status = await wait_state(service, "error")
    assert status.reason is not None
    assert status.reason.code == "launch_failed"
    assert said.format(folder=programs) in status.reason.message
    assert (await service.history("web", start=None, limit=100)).written == 0
    assert (status.pid, status.exit_code) == (None, None)


async def test_a_folder_that_is_gone_is_named_and_the_program_runs_when_it_is_back(
    keeper: Keeper, programs: Path
) -> None:
    """Nothing runs elsewhere instead, where it would do harm."""
    folder = programs / "gone"
    service = await keeper.start(shell("pwd; sleep 1000", folder=str(folder)[1:], policy=ONE_TRY))
    status = await wait_state(service, "error")
    assert status.reason is not None
    assert f"folder {folder}: No such file or directory" in status.reason.message
    folder.mkdir()
    service.retry("web")
    await wait_state(service, "running")
    # Removed under a program that runs, it is gone for the next start alone.
    folder.rmdir()
    service.restart("web")
    status = await wait_state(service, "error")


@pytest.mark.real("root")
async def test_a_folder_that_the_user_may_not_enter_is_named(keeper: Keeper, programs: Path) -> None:
    """The start is the user's, not the agent's."""

    def as_nobody(wanted: WantedProcess) -> Launch:
        return launch(wanted).replace(uid=NOBODY, gid=NOBODY)

    closed = programs / "closed"
    closed.mkdir(mode=0o700)
    keeper.launch = as_nobody
    service = await keeper.start(shell("id; sleep 1000", folder=str(closed)[1:], policy=ONE_TRY))
    status = await wait_state(service, "error")
    assert status.reason is not None
    assert f"folder {closed}: Permission denied" in status.reason.message


# Each prints `up` when it is as bad as it gets.
STUBBORN = {
    "ignores every signal": "trap '' TERM INT HUP QUIT; echo up; while :; do sleep 1; done",
    "daemons in sessions of their own": (
        '(setsid sh -c \'trap "" TERM HUP; (setsid sh -c "trap \\"\\" TERM; sleep 1000" &); sleep 1000\' &); '
        "sleep 0.3; echo up; sleep 1000"
    ),
    "stops itself": "echo up; kill -STOP $$; sleep 1000",
    "stops its children": "sleep 1000 & kill -STOP $!; echo up; wait",
    "three hundred children": (
        "i=0; while [ $i -lt 300 ]; do (trap '' TERM; exec sleep 1000) & i=$((i+1)); done; echo up; wait"
    ),
    "writes while it ends": "trap 'yes bye | head -c 3000000; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    "starts another on its way out": "trap 'setsid sleep 1000 & exit 0' TERM; echo up; while :; do sleep 0.05; done",
}


@pytest.mark.parametrize("command", STUBBORN.values(), ids=STUBBORN)
async def test_a_stop_leaves_nobody_however_stubborn(keeper: Keeper, command: str) -> None:
    """Within the grace and a moment, everything that it has started has gone."""
    service = await keeper.start(shell(command, policy=QUICK_STOP))
    await wait_output(service, b"up")
    family = below_shim(await wait_state(service, "running"))
    assert family
    await service.apply([shell(command, policy=QUICK_STOP, power="off")])
    await wait_state(service, "stopped")
    async with asyncio.timeout(10):
        while not all(map(is_gone, family)):
            await asyncio.sleep(0.02)


async def test_one_that_hops_from_pid_to_pid_is_caught(keeper: Keeper, programs: Path) -> None:
    """It is never the same process for longer than some milliseconds, and ignores what can be ignored."""
    hop, lives = programs / "hop", programs / "lives"
    hop.write_text(
        f"#!/bin/sh\ntrap '' TERM HUP INT\ntest -e {programs}/enough && exit\necho >> {lives}\nsetsid {hop} &\n"
    )
    hop.chmod(0o755)
    try:
        command = f"{hop} & echo up; sleep 1000"
        service = await keeper.start(shell(command, policy=QUICK_STOP))
        await wait_output(service, b"up")
        async with asyncio.timeout(PATIENCE_S):
            while not lives.exists() or lives.stat().st_size <= 20:
                await asyncio.sleep(0.02)
        await service.apply([shell(command, policy=QUICK_STOP, power="off")])
        await wait_state(service, "stopped")
        # What outlives its process has the grace too; then the shim, with nobody left, ends.
        await wait_gone(keeper.folder / "run/web.sock")
        count = lives.stat().st_size
        await asyncio.sleep(0.5)
        assert lives.stat().st_size == count
    finally:
        (programs / "enough").touch()


async def test_a_child_that_holds_the_terminal_open_does_not_hide_the_end(keeper: Keeper) -> None:
    """The end of the process is told at once; what it has left goes before the next start."""
    policy = ProcessPolicy(restart=RestartPolicy(delays_s=(1.0,)), stop=StopPolicy(grace_s=0.5))
    service = await keeper.start(shell("(trap '' HUP TERM; setsid sleep 1000) & echo $!; exit 3", policy=policy))
    status = await wait_state(service, "backoff")
    assert status.exit_code == 3
    text = await wait_output(service, b"\r\n")
    left = int(text.split()[0])
    await wait_status(service, lambda status: status.restarts == 1 and status.state == "error")
    assert is_gone(left)


async def test_a_port_that_a_grandchild_of_a_killed_process_holds_is_freed_for_the_next_run(
    keeper: Keeper,
) -> None:
    """No delay, no stranger blamed: it is our own, so it is ended first."""
    port = free_port()
    listen = (
        f'import socket,time; s=socket.create_server(("127.0.0.1",{port})); print("bound",flush=True); time.sleep(1000)'
    )
    command = f"setsid {sys.executable} -c '{listen}' & wait; sleep 1000"
    policy = ProcessPolicy(restart=RestartPolicy(delays_s=(0.0,)), ports=(port,))
    service = await keeper.start(shell(command, policy=policy))
    await wait_output(service, b"bound")
    first = await wait_state(service, "running")
    assert first.pid is not None
    grandchildren = [pid for pid in below_shim(first) if pid != first.pid]
    os.kill(first.pid, 9)
    second = await wait_status(service, lambda status: status.state == "running" and status.pid != first.pid)
    assert (second.restarts, second.signal) == (1, "SIGKILL")
    await wait_output(service, b"bound", times=2)
    assert all(map(is_gone, grandchildren))


async def test_a_hundred_restarts_at_once_and_in_disorder_never_run_two(keeper: Keeper, programs: Path) -> None:
    """Whoever presses the button how often: each run finds that the one before has gone."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - for a run that fails
    chance = random.Random(seed)
    lock = programs / "lock"
    # Holds the lock as long as anything of it lives; ends slowly when it is asked to.
    command = (
        f"exec 9>{lock}; flock -n 9 || echo TWO; trap 'sleep 0.05; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    )
    service = await keeper.start(shell(command))
    await wait_output(service, b"up")
    for _ in range(100):
        service.restart("web")
    await wait_output(service, b"up", times=2)
    for _ in range(100):
        await asyncio.sleep(chance.uniform(0, 0.05))
        orders = [service.restart, service.retry]
        if service.statuses()[0].pid is not None:
            orders.append(service.kill)
        with contextlib.suppress(NothingToRetry):
            chance.choice(orders)("web")
    status = await wait_status(service, lambda status: status.state in {"running", "stopped"})
    text = await wait_output(service, b"up", times=3)
    assert b"TWO" not in text
    assert status.restarts == 0
    await service.apply([shell(command, power="off")])
    # Between two lives of a program the socket is gone as well.
    await wait_state(service, "stopped")
    await wait_gone(keeper.folder / "run/web.sock")


async def test_what_nobody_keeps_up_with_ends_in_error_at_the_pace_of_the_policy(keeper: Keeper) -> None:
    """The delays themselves, on a clock that runs sixty times as fast: 30, 60 and 120 s between the starts."""
    keeper.clock = ScaledClock(60)
    service = await keeper.start(shell("date +%s.%N; exit 3"))
    await wait_state(service, "error")
    text = await wait_output(service, b"\r\n", times=4)
    starts = [float(line) for line in text.split()]
    waits_s = [(after - before) * 60 for before, after in itertools.pairwise(starts)]
    # Never earlier; later by what a start takes, of which each tenth of a second counts six.
    assert all(wanted <= wait <= wanted + 60 for wanted, wait in zip((30, 60, 120), waits_s, strict=True)), waits_s
    service.retry("web")
    status = await wait_status(service, lambda status: status.state == "backoff" and status.restarts == 1)
    assert status.exit_code == 3
    await wait_output(service, b"\r\n", times=5)


async def wait_output(service: ProcessService, text: bytes, *, times: int = 1) -> bytes:
    """Return what the process has printed once `text` is in it so often."""
    printed = b""
    try:
        async with asyncio.timeout(20):
            while printed.count(text) < times:
                await asyncio.sleep(0.01)
                history = await service.history("web", start=0, limit=128 * 1024)
                printed = history.text.encode()
    except TimeoutError:
        raise AssertionError(f"not {times} times {text!r} in {printed[-500:]!r}") from None
    return printed


async def wait_gone(path: Path) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(path.exists):
            await asyncio.sleep(0.02)


def below_shim(status: ProcessStatus) -> list[int]:
    """The process and everything beside and below it that its shim has to answer for."""
    assert status.pid is not None
    shim = psutil.Process(status.pid).parent()
    assert shim is not None
    return [process.pid for process in shim.children(recursive=True)]


async def test_a_shim_that_is_stuck_goes_with_all_that_is_below_it(keeper: Keeper) -> None:
    """Also with what has left its session and parents, and while it forks on."""
    stays = "trap '' TERM HUP; while :; do sleep 0.05 & wait; done"
    hops = f'(setsid sh -c "{stays}" &); echo up; while :; do sleep 0.1; done'
    service = await keeper.start(shell(hops))
    await wait_status(service, lambda status: status.state == "running")
    run = await asyncio.to_thread(read_run_record, keeper.folder / "run/web.run")
    assert run is not None
    below: list[int] = []
    async with asyncio.timeout(10):
        # At some moments none of them sleeps.
        while len(below) < 3:
            await asyncio.sleep(0.05)
            below = [row.pid for row in select_descendants(await asyncio.to_thread(read_rows), run.shim.pid)]
    os.kill(run.shim.pid, signal.SIGSTOP)
    service.kill("web")
    await asyncio.sleep(0.1)
    service.kill("web")
    await wait_status(service, lambda status: status.state == "stopped")
    await eventually(lambda: all(map(is_gone, [run.shim.pid, *below])))

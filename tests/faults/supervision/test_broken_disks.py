"""Disks that are full, can only be read, or hold rubbish: what runs goes on, and what cannot start says why."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from component.supervision.harness import Keeper, shell, wait_status
from zlh_agent.supervision.model import Child, Phase, State
from zlh_agent.supervision.store import StateStore, ensure_boot_mark
from zlh_common.schema.process import ProcessPolicy, RestartPolicy
from zlh_common.schema.status import ProcessStatus

RUNS = "echo up; sleep 1000"
ONE_TRY = ProcessPolicy(restart=RestartPolicy(delays_s=()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three MiB: room for one history of one MiB, and for what belongs to it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def is_up(status: ProcessStatus) -> bool:
    return status.state == "running"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: bytes(len(text)),
        lambda text: b"null",
        lambda text: msgspec.json.encode({"bootMark": msgspec.json.decode(text)["bootMark"], "state": {"phase": "up"}}),
        # What no step brings forth: it runs and there is no child, it waits and there is no time.
        lambda text: text.replace(b'"child":{', b'"child":null,"former":{'),
        lambda text: text.replace(b'"running"', b'"backoff"'),
        # Fields of a version that knew less, and of one that knows more.
        lambda text: msgspec.json.encode(
            msgspec.json.decode(text) | {"state": {"phase": "stopped", "isWanted": True, "newer": {"x": 1}}, "more": 1}
        ),
        None,
    ],
    ids=["cut", "empty", "zeros", "null", "unknown-phase", "no-child", "no-time", "other-fields", "gone"],
)
async def test_whatever_the_state_file_holds_a_process_that_runs_is_taken_up(keeper: Keeper, spoil: object) -> None:
    """The same child, running, no restart; the next agent finds a whole file again."""
    service = await keeper.start(shell(RUNS))
    before = await wait_status(service, is_up)
    await service.detach()
    file = keeper.folder / "state/web/state.json"
    if callable(spoil):
        file.write_bytes(spoil(file.read_bytes()))
    else:
        file.unlink()
    again = await keeper.start(shell(RUNS))
    after = await wait_status(again, lambda status: is_up(status) and status.pid is not None)
    await asyncio.sleep(0.3)
    assert (await wait_status(again, is_up)).pid == before.pid
    assert (after.pid, after.started_at, after.restarts) == (before.pid, before.started_at, 0)
    mark = await asyncio.to_thread(ensure_boot_mark, keeper.folder / "run")
    kept = await asyncio.to_thread(StateStore(file.parent, mark).load)
    assert kept is not None
    assert kept.phase is Phase.RUNNING


@pytest.mark.parametrize("phase", list(Phase))
async def test_a_state_that_contradicts_itself_is_no_reason_to_start_a_stranger(keeper: Keeper, phase: Phase) -> None:
    """In each phase, with a child that nobody knows: the process comes to run once, and the stranger is left alone."""
    mark = await asyncio.to_thread(ensure_boot_mark, keeper.folder / "run")
    stranger = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    state = State(phase=phase, is_wanted=True, child=Child(stranger.pid, 5, "another boot"), due=None)
    (keeper.folder / "state/web").mkdir(parents=True)
    await asyncio.to_thread(StateStore(keeper.folder / "state/web", mark).save, state)
    service = await keeper.start(shell(RUNS, policy=ProcessPolicy(restart=RestartPolicy(delays_s=(0.0,)))))
    await wait_status(service, is_up)
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


@pytest.mark.real("mounts")
async def test_a_process_on_a_full_disk_says_so_and_starts_when_there_is_room(disk: Path, keeper: Keeper) -> None:
    """No room for its history is a start that failed, with the kernel's reason."""
    keeper.state_folder = disk / "state"
    fill(disk)
    service = await keeper.start(shell(RUNS, policy=ONE_TRY))
    status = await wait_status(service, lambda status: status.state == "error")
    assert status.reason is not None
    assert status.reason.code == "launch_failed"
    assert "No space left" in status.reason.message
    (disk / "ballast").unlink()
    service.retry("web")
    await wait_status(service, is_up)


@pytest.mark.real("mounts")
async def test_a_disk_that_becomes_full_costs_no_process_and_no_stop(disk: Path, keeper: Keeper) -> None:
    """What runs goes on, restarts and stops: its history has its place already, its state is kept in memory."""
    keeper.state_folder = disk / "state"
    service = await keeper.start(shell("echo up; read x; echo up; sleep 1000"))
    first = await wait_status(service, is_up)
    fill(disk)
    service.restart("web")
    second = await wait_status(service, lambda status: is_up(status) and status.pid != first.pid)
    await service.detach()
    again = await keeper.start(shell("echo up; read x; echo up; sleep 1000"))
    assert (await wait_status(again, is_up)).pid == second.pid
    await again.apply([shell("echo up; read x; echo up; sleep 1000", power="off")])
    await wait_status(again, lambda status: status.state == "stopped")
    (disk / "ballast").unlink()


@pytest.mark.real("mounts")
async def test_a_disk_that_can_only_be_read_costs_no_process(disk: Path, keeper: Keeper) -> None:
    """An agent takes up what runs, stops it, and says why it cannot be started again."""
    keeper.state_folder = disk / "state"
    service = await keeper.start(shell(RUNS, policy=ONE_TRY))
    before = await wait_status(service, is_up)
    await service.detach()
    # The kernel refuses while a ring is open for writing; a bind mount of it can be made read only all the same.
    with read_only(disk):
        again = await keeper.start(shell(RUNS, policy=ONE_TRY))
        assert (await wait_status(again, is_up)).pid == before.pid
        again.restart("web")
        await wait_status(again, lambda status: is_up(status) and status.pid != before.pid)
        await again.apply([shell(RUNS, policy=ONE_TRY, power="off")])
        await wait_status(again, lambda status: status.state == "stopped")
        async with asyncio.timeout(10):
            while await asyncio.to_thread((keeper.folder / "run/web.sock").exists):
                await asyncio.sleep(0.02)
        await again.apply([shell(RUNS, policy=ONE_TRY, attempt=1)])
        status = await wait_status(again, lambda status: status.state == "error")
        assert status.reason is not None
        assert "Read-only file system" in status.reason.message

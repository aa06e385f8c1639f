"""Child processes of the stack: ready, restarted, stopped, and never left behind."""
# ruff: noqa: ASYNC240 - a test looks at processes and files from outside

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zlh_api.dev.child import ChildFailed, ChildProcess, ChildSpec, decide_delay, end_leftovers


def make_spec(folder: Path, *argv: str, stop_timeout_s: float = 5.0) -> ChildSpec:
    """Return the spec of a child that logs below `folder`."""
    return ChildSpec(name="part", argv=argv, log_file=folder / "part.log", stop_timeout_s=stop_timeout_s)


async def is_false() -> bool:
    """Say that it never is."""
    return False


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def wait_dead(pid: int) -> None:
    """Return once a process is gone."""
    async with asyncio.timeout(10):
        while is_alive(pid):
            await asyncio.sleep(0.02)


async def read_pid(path: Path) -> int:
    """Return the pid that a child wrote to a file, once it is there."""
    async with asyncio.timeout(10):
        while not path.exists() or not path.read_text().strip():
            await asyncio.sleep(0.02)
    return int(path.read_text())


async def test_child_runs_with_its_own_group_log_and_record(tmp_path: Path) -> None:
    """The record says who it is while it runs, and is gone after stop."""
    child = ChildProcess(make_spec(tmp_path, "sh", "-c", "echo hello; exec sleep 60"), tmp_path / "run")
    await child.start()
    assert child.pid is not None

    async def has_spoken() -> bool:
        return await asyncio.to_thread((tmp_path / "part.log").read_text) == "hello\n"

    await child.wait_ready(has_spoken)
    assert os.getpgid(child.pid) == child.pid
    record = json.loads((tmp_path / "run/part.json").read_text())
    assert record["pid"] == child.pid
    await child.stop()
    assert child.pid is None
    assert (tmp_path / "part.log").read_text() == "hello\n"
    assert list((tmp_path / "run").iterdir()) == []
    await child.stop()


async def test_child_gets_the_environment_of_its_spec_alone(tmp_path: Path) -> None:
    """Nothing of ours leaks in, beside the token that marks it."""
    spec = ChildSpec(
        name="part", argv=("/usr/bin/env",), log_file=tmp_path / "log", env={"PATH": "/usr/bin:/bin", "ONE": "1"}
    )
    child = ChildProcess(spec, tmp_path / "run")
    await child.start()
    supervised = asyncio.create_task(child.supervise())
    async with asyncio.timeout(10):
        while not (tmp_path / "log").exists() or "\n" not in (tmp_path / "log").read_text():
            await asyncio.sleep(0.02)
    await child.stop()
    await supervised
    names = {line.partition("=")[0] for line in (tmp_path / "log").read_text().splitlines()}
    assert names - {"LC_CTYPE"} == {"PATH", "ONE", "ZLH_CHILD_TOKEN"}


async def test_child_that_dies_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Exit code and the end of the log are in the message."""
    child = ChildProcess(make_spec(tmp_path, "sh", "-c", "echo no such thing >&2; exit 3"), tmp_path / "run")
    await child.start()
    with pytest.raises(ChildFailed, match=r"exit code 3 before it was ready.*no such thing"):
        await child.wait_ready(is_false)
    await child.stop()


async def test_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """The launcher says what it could not run."""
    child = ChildProcess(make_spec(tmp_path, "/no/such/program"), tmp_path / "run")
    await child.start()
    with pytest.raises(ChildFailed, match="cannot run /no/such/program"):
        await child.wait_ready(is_false)
    await child.stop()


async def test_child_that_is_never_ready_is_told(tmp_path: Path) -> None:
    """The time limit is in the message."""
    child = ChildProcess(make_spec(tmp_path, "sleep", "60"), tmp_path / "run")
    await child.start()
    with pytest.raises(ChildFailed, match="not ready within 0 s"):
        await child.wait_ready(is_false, timeout_s=0.2)
    await child.stop()


async def test_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """A new process, a new record, one restart counted."""
    child = ChildProcess(make_spec(tmp_path, "sleep", "60"), tmp_path / "run")
    await child.start()
    first = child.pid
    assert first is not None
    supervised = asyncio.create_task(child.supervise())
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while json.loads((tmp_path / "run/part.json").read_text())["pid"] == first:
            await asyncio.sleep(0.02)
    assert child.restarts == 1
    assert json.loads((tmp_path / "run/part.json").read_text())["pid"] == child.pid
    await child.stop()
    await supervised


async def test_stop_during_the_back_off_ends_it(tmp_path: Path) -> None:
    """Nothing is started after stop."""
    child = ChildProcess(make_spec(tmp_path, "false"), tmp_path / "run")
    await child.start()
    supervised = asyncio.create_task(child.supervise())
    await asyncio.sleep(0.2)
    await child.stop()
    await asyncio.wait_for(supervised, 5)
    assert child.pid is None


async def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the agreed wait, with everything that it started."""
    script = f"trap '' TERM; sh -c 'trap \"\" TERM; sleep 60' & echo $! > {tmp_path}/pid; while :; do sleep 0.1; done"
    child = ChildProcess(make_spec(tmp_path, "sh", "-c", script, stop_timeout_s=0.3), tmp_path / "run")
    await child.start()
    grandchild = await read_pid(tmp_path / "pid")
    await child.stop()
    await wait_dead(grandchild)


ORCHESTRATOR = """
import asyncio, sys
from pathlib import Path
from zlh_api.dev.child import ChildProcess, ChildSpec
async def main():
    home = Path(sys.argv[1])
    script = f"sleep 61 & echo $! > {home}/grandchild; echo $$ > {home}/child; exec sleep 60"
    child = ChildProcess(ChildSpec(name="part", argv=("sh", "-c", script), log_file=home / "log"), home / "run")
    await child.start()
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_child_dies_with_an_orchestrator_that_is_killed(tmp_path: Path) -> None:
    """The kernel ends the child; what the child had started is found by the record and ended by the next run."""
    orchestrator = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORCHESTRATOR, str(tmp_path), stdout=subprocess.DEVNULL
    )
    child, grandchild = await read_pid(tmp_path / "child"), await read_pid(tmp_path / "grandchild")
    async with asyncio.timeout(10):
        while not (tmp_path / "run/part.json").exists():
            await asyncio.sleep(0.02)
    orchestrator.kill()
    await orchestrator.wait()
    await wait_dead(child)
    assert is_alive(grandchild)
    assert await asyncio.to_thread(end_leftovers, tmp_path / "run") == ["part"]
    await wait_dead(grandchild)
    assert await asyncio.to_thread(end_leftovers, tmp_path / "run") == []


@pytest.mark.parametrize("other", ["start time", "boot", "token"])
def test_leftovers_never_touch_a_process_that_only_has_the_number(tmp_path: Path, other: str) -> None:
    """Another start time, another boot, or a session without our mark: the record is forgotten, the process lives."""
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        ticks = int(Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        record = {"name": "part", "pid": stranger.pid, "startTicks": ticks, "bootId": boot, "token": "t"}
        match other:
            case "start time":
                record["startTicks"] = ticks - 1
            case "boot":
                record["bootId"] = "00000000-0000-0000-0000-000000000000"
            case _:
                record["pid"] = os.getsid(0)
                record["startTicks"] = 0
        (tmp_path / "part.json").write_text(json.dumps(record))
        (tmp_path / "other.json").write_text("[]")
        assert end_leftovers(tmp_path) == []
        assert is_alive(stranger.pid)
        assert not (tmp_path / "part.json").exists()
        assert (tmp_path / "other.json").exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_delay_grows_to_a_limit() -> None:
    """Half a minute at most."""
    delays = [decide_delay(count) for count in range(1, 9)]
    assert delays == [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]


async def test_start_stop_leaves_no_descriptor(tmp_path: Path) -> None:
    """However often a part is restarted."""
    child = ChildProcess(make_spec(tmp_path, "sleep", "60"), tmp_path / "run")
    await child.start()
    await child.stop()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are meant
    for _ in range(3):
        await child.start()
        await child.stop()
    assert len(os.listdir("/proc/self/fd")) <= len(before)  # noqa: PTH208 - names are meant

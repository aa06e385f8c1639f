"""Agents, shims and shells are killed; what was promised of the others still holds."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import msgspec

from component.console.harness import PATIENCE_S, Bench, eventually, look
from guards.leaks import is_gone
from zlh_agent.shim.records import read_run_record
from zlh_common.processes import read_boot_id, read_identity
from zlh_common.schema.console_wire import OFFSET_BYTES, Exit, Gap, State
from zlh_common.websocket_frames import OutputFrame

# Some 100 KB/s: however slow an agent is to start, what is printed meanwhile stays within its ring.
NUMBERS = ("/bin/sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); [ $((i % 200)) != 0 ] || sleep 0.01; done")
AGENT = Path(__file__).with_name("agent.py")


async def start_agent(bench: Bench, asked: int) -> asyncio.subprocess.Process:
    path = os.pathsep.join([str(AGENT.parents[2]), *filter(None, sys.path)])
    return await asyncio.create_subprocess_exec(
        sys.executable, str(AGENT), str(bench.folder), str(asked), *NUMBERS,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, limit=1 << 22,
    )  # fmt: skip


async def collect(agent: asyncio.subprocess.Process, at: int, wanted: int) -> tuple[int, bytes]:
    """Return the child's pid and the output from `at` on, at least `wanted` bytes, each frame where the last ended."""
    assert agent.stdout is not None
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        pid = int(await agent.stdout.readexactly(8))
        while len(data) < wanted:
            body = await agent.stdout.readexactly(int.from_bytes(await agent.stdout.readexactly(4), "big"))
            assert not body.startswith(b"!"), body
            assert int.from_bytes(body[:OFFSET_BYTES], "big") == at + len(data)
            data += body[OFFSET_BYTES:]
    return pid, data


async def test_agent_killed_ten_times_under_output_loses_and_repeats_nothing(bench: Bench) -> None:
    """Numbered lines go on without a hole, and the child that prints them is the same to the end."""
    data, pids = b"", set()
    for _ in range(10):
        agent = await start_agent(bench, len(data))
        pid, more = await collect(agent, len(data), 30_000)
        agent.kill()
        await agent.wait()
        # What was still in the pipe was never taken by this client; it asks for it again.
        agent._transport.close()  # type: ignore[attr-defined]
        pids.add(pid)
        data += more
    lines = data.split(b"\r\n")[:-1]
    assert lines == [b"%d" % number for number in range(len(lines))]
    assert len(pids) == 1
    assert len(bench.shims()) == 1


async def test_exit_while_no_agent_was_there_is_reported_with_code_and_time(bench: Bench) -> None:
    """The shim keeps the end of its child until somebody comes."""
    bench.argv = ("/bin/sh", "-c", "read x; exit 9")
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"\n")
    service.detach()
    await eventually((bench.folder / "state/main/exit").exists)
    again = await bench.start()
    status = again.rows()[0]
    assert (status.state, status.exit_code, status.signal) == ("exited", 9, None)
    screen.viewer.close()


async def test_exit_is_still_known_when_the_shim_has_gone_too(bench: Bench) -> None:
    """The exit record on disk outlives both; a signal is told as one."""
    service = await bench.start()
    (await look(service)).viewer.close()
    child = service.rows()[0].pid
    assert child is not None
    service.detach()
    os.kill(child, signal.SIGKILL)
    await eventually((bench.folder / "state/main/exit").exists)
    for shim in bench.shims():
        os.kill(shim, signal.SIGKILL)
    again = await bench.start()
    status = again.rows()[0]
    assert (status.state, status.exit_code, status.signal) == ("exited", None, "SIGKILL")
    assert status.started_at is not None


async def test_shim_killed_is_told_and_its_child_does_not_stay(bench: Bench) -> None:
    """The viewer hears `lost`; a child that ignores the hang-up is ended; attaching again goes on in the history."""
    bench.argv = ("/bin/sh", "-c", "trap '' HUP; echo up; while :; do sleep 1; done")
    service = await bench.start()
    screen = await look(service, asked=0)
    await screen.until(b"up")
    child = service.rows()[0].pid
    assert child is not None
    for shim in bench.shims():
        os.kill(shim, signal.SIGKILL)
    assert await screen.to_end() == [State(state="lost")]
    assert screen.viewer.ended is not None
    assert screen.viewer.ended.reason == "shim_lost"
    await eventually(lambda: is_gone(child))
    again = await look(service, asked=0)
    assert again.viewer.hello.stream == screen.viewer.hello.stream
    await again.until(b"up\r\nup\r\n")
    screen.viewer.close()
    again.viewer.close()


async def test_child_of_a_shim_that_died_while_the_agent_was_away_is_ended(bench: Bench) -> None:
    """The run record names it by identity."""
    bench.argv = ("/bin/sh", "-c", "trap '' HUP; echo up; while :; do sleep 1; done")
    service = await bench.start()
    screen = await look(service, asked=0)
    await screen.until(b"up")
    child = service.rows()[0].pid
    assert child is not None
    service.detach()
    for shim in bench.shims():
        os.kill(shim, signal.SIGKILL)
    again = await bench.start()
    assert again.rows()[0].state == "lost"
    await eventually(lambda: is_gone(child))
    # The record that names it goes last, should this agent die over it.
    await eventually(lambda: list((bench.folder / "run").iterdir()) == [])
    screen.viewer.close()


async def test_stale_record_with_the_pid_of_a_stranger_harms_nobody(bench: Bench) -> None:
    """A socket that nobody listens on and a pid that is somebody else's now: cleaned, never signalled."""
    stranger = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    known = await asyncio.to_thread(read_identity, stranger.pid)
    assert known is not None
    await bench.start()
    run = bench.folder / "run"
    boot_id = await asyncio.to_thread(read_boot_id)
    body = {"pid": known.pid, "startTicks": known.start_ticks - 5}
    (run / "main.run").write_bytes(msgspec.json.encode({"bootId": boot_id, "shim": body, "child": body}))
    (run / "main.sock").touch()
    (run / "Not a name.sock").touch()
    again = await bench.start()
    assert again.rows() == ()
    assert not (run / "main.run").exists()
    assert read_run_record(run / "main.run") is None
    await asyncio.sleep(0.7)
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_truncated_and_empty_records_are_no_obstacle(bench: Bench) -> None:
    """Whatever lies there after a full disk, the agent starts and a new shell can be had."""
    await bench.start()
    (bench.folder / "state/main").mkdir()
    for name in ("run/main.run", "state/main/exit", "state/main/ring"):
        (bench.folder / name).write_bytes(b"\0\0{")
    again = await bench.start()
    screen = await look(again)
    await screen.viewer.write(b"echo fi''ne\n")
    await screen.until(b"fine")
    screen.viewer.close()


async def test_slow_viewer_is_skipped_ahead_and_sees_the_newest(bench: Bench) -> None:
    """It misses what it was too slow for, is told how much, and gets the end; the quick one misses nothing."""
    bench.argv = ("/bin/sh", "-c", "read x; seq 1 600000; echo en''d; sleep 60")
    service = await bench.start()
    quick, slow = await look(service), await look(service)
    await quick.viewer.write(b"\n")
    text = await quick.until(b"end\r\n")
    if not quick.messages:
        numbers = text.split(b"\r\n")[1:-2]
        assert numbers == [b"%d" % number for number in range(1, 600_001)]
    await slow.until(b"end\r\n")
    (gap,) = slow.messages
    assert isinstance(gap, Gap)
    assert gap.to - gap.start + len(slow.data) == slow.position - slow.viewer.hello.start
    assert slow.data.endswith(b"600000\r\nend\r\n")
    quick.viewer.close()
    slow.viewer.close()


async def test_fifty_viewers_of_a_flood_keep_memory_bounded(bench: Bench) -> None:
    """One of them never reads, and the agent holds nothing for it."""
    bench.argv = ("/bin/sh", "-c", "read x; seq 1 1000000; echo en''d; sleep 60")
    service = await bench.start()
    screens = await asyncio.gather(*(look(service) for _ in range(50)))

    async def drain(position: int) -> bool:
        screen = screens[position]
        async for item in screen.viewer:
            if isinstance(item, OutputFrame) and bytes(item.output).endswith(b"end\r\n"):
                return True
            await asyncio.sleep(0)
        return False

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await screens[0].viewer.write(b"\n")
    async with asyncio.timeout(120):
        assert all(await asyncio.gather(*(drain(position) for position in range(49))))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 8 * 1024
    for screen in screens:
        screen.viewer.close()


async def test_agent_that_does_not_read_never_slows_the_child(bench: Bench) -> None:
    """A stopped agent is no reason for a program to wait: it prints to its end."""
    bench.argv = ("/bin/sh", "-c", "read x; seq 1 500000; exit 3")
    service = await bench.start()
    screen = await look(service)
    terminal = service._terminals["main"]
    assert terminal.link is not None
    await screen.viewer.write(b"\n")
    await asyncio.sleep(0.05)
    terminal.link._loop.remove_reader(terminal.link._sock)
    await eventually((bench.folder / "state/main/exit").exists)
    service.detach()
    again = await bench.start()
    late = await look(service=again, asked=None)
    screen.viewer.close()
    late.viewer.close()


async def test_shell_killed_over_and_over_comes_back_on_attach(bench: Bench) -> None:
    """Five shells in a row, one shim, one history, each end told by its signal."""
    service = await bench.start()
    shims = set()
    for _ in range(5):
        screen = await look(service)
        pid = service.rows()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert (await screen.to_end())[-1] == Exit(code=None, signal="SIGKILL")
        shims |= set(bench.shims())
        screen.viewer.close()
    assert len(shims) == 1


async def test_stopped_shim_is_ended_from_outside_when_its_terminal_is_closed(bench: Bench) -> None:
    """A shim that does not answer cannot keep its terminal open."""
    service = await bench.start()
    id_ = await service.open_terminal(80, 24)
    child = service.rows()[0].pid
    assert child is not None
    (shim,) = bench.shims()
    os.kill(shim, signal.SIGSTOP)
    await service.close(id_)
    await eventually(lambda: is_gone(shim) and is_gone(child))
    assert list((bench.folder / "state").iterdir()) == []

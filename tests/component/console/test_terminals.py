"""Terminals on real PTYs, held by real shims."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from pathlib import Path

import pytest

from component.console.harness import Bench, eventually, look
from guards.leaks import is_gone
from zlh_agent.shim.errors import LaunchFailed
from zlh_agent.shim.model import Launch
from zlh_agent.terminals.errors import TerminalNotFound
from zlh_agent.terminals.service import TerminalService
from zlh_common.schema.console_wire import Exit, Gap, State
from zlh_common.schema.terminal import TerminalLimit

# A full-screen program in miniature. (A shell's trap would miss a signal that comes while it runs.)
REDRAW = """
import os, signal
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"redraw %d %d " % os.get_terminal_size()))
os.write(1, b"up ")
while True:
    signal.pause()
"""


# Signals 32 and 33 belong to the C library, which lets no program change what a parent has set for them.
OF_LIBC = 0b11 << 31


async def test_output_of_a_command_reaches_the_viewer(bench: Bench) -> None:
    """What is typed is run, and what it prints comes back."""
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"echo he''llo\n")
    await screen.until(b"hello\r\n")
    screen.viewer.close()


async def test_child_has_a_controlling_terminal_and_nothing_of_the_shim(bench: Bench) -> None:
    """Descriptors 0 to 2, its own session, the given environment, default signals."""
    bench.argv = (
        "/bin/sh",
        "-c",
        "ls -1 /proc/$$/fd; tty; env; grep -E 'SigIgn|SigBlk' /proc/self/status; ps -o sid= -p $$; echo $$",
    )
    service = await bench.start()
    screen = await look(service, asked=0)
    await screen.to_end()
    text = screen.data.decode().replace("\r\n", "\n")
    assert text.startswith("0\n1\n2\n/dev/pts/")
    assert {name: int(mask, 16) & ~OF_LIBC for name, mask in re.findall(r"(Sig\w+):\t(\w+)", text)} == {
        "SigIgn": 0,
        "SigBlk": 0,
    }
    assert {line.partition("=")[0] for line in text.splitlines() if re.match(r"[A-Z_]+\d?=", line)} <= {
        "PATH", "TERM", "PS1", "LANG", "PWD", "OLDPWD", "SHLVL", "_",
    }  # fmt: skip
    assert len(set(text.split()[-2:])) == 1
    screen.viewer.close()


async def test_shell_goes_on_while_the_agent_is_away(bench: Bench) -> None:
    """A new agent finds the same shell, and gets exactly what was printed meanwhile."""
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"stty -echo; echo pid=$$; read x; echo first; read y; echo second-$y\n")
    await screen.until(b"pid=")
    await screen.viewer.write(b"\n")
    before = bytes(await screen.until(b"first"))
    position = screen.position
    await screen.viewer.write(b"done\n")
    await asyncio.sleep(0.1)
    service.detach()

    again = await bench.start()
    assert [(row.id, row.state) for row in again.rows()] == [("main", "running")]
    rest = await look(again, asked=position)
    text = before + await rest.until(b"second-done")
    assert text.count(b"first\r\n") == 1
    assert text.count(b"second-done") == 1
    rest.viewer.close()


async def test_exit_of_the_shell_is_told_after_its_last_output(bench: Bench) -> None:
    """State and exit come behind everything that was printed, then the viewer ends."""
    bench.argv = ("/bin/sh", "-c", "seq 1 20000; exit 7")
    service = await bench.start()
    screen = await look(service, asked=0)
    assert await screen.to_end() == [State(state="exited"), Exit(code=7, signal=None)]
    assert screen.data.endswith(b"\r\n20000\r\n")
    assert screen.viewer.ended is not None
    assert (service.rows()[0].exit_code, service.rows()[0].state) == (7, "exited")
    screen.viewer.close()


async def test_attaching_to_main_again_starts_a_new_shell_in_the_same_history(bench: Bench) -> None:
    """The stream and its offsets go on; the shim is the same."""
    service = await bench.start()
    first = await look(service)
    await first.viewer.write(b"echo on''e; exit\n")
    await first.to_end()
    shims = bench.shims()
    second = await look(service, asked=0)
    assert second.viewer.hello.stream == first.viewer.hello.stream
    await second.viewer.write(b"echo tw''o\n")
    await second.until(b"one\r\n", b"two\r\n")
    assert bench.shims() == shims
    first.viewer.close()
    second.viewer.close()


async def test_many_attaches_at_once_make_one_main(bench: Bench) -> None:
    """Ten viewers that come together share one shell."""
    service = await bench.start()
    screens = await asyncio.gather(*(look(service) for _ in range(10)))
    assert len(bench.shims()) == 1
    for screen in screens:
        screen.viewer.close()


async def test_closed_terminal_takes_shell_children_and_history_along(bench: Bench) -> None:
    """Also a child that ignores SIGHUP, and one in a session of its own."""
    service = await bench.start()
    id_ = await service.open_terminal(80, 24)
    screen = await look(service, id_)
    await screen.viewer.write(b"(trap '' HUP; sleep 301) & a=$!; sh -c 'setsid sleep 302; :' & echo kids=$a,$!,e''nd\n")
    match = re.search(rb"kids=([0-9,]+)end", await screen.until(b",end"))
    assert match is not None
    kids = [int(pid) for pid in match[1].split(b",") if pid]
    await service.close(id_)
    assert all(map(is_gone, kids))
    assert bench.shims() == []
    assert not (bench.folder / "state" / id_).exists()
    assert list((bench.folder / "run").iterdir()) == []
    with pytest.raises(TerminalNotFound):
        await service.attach(id_, None)
    screen.viewer.close()


async def test_children_left_by_a_shell_that_ended_go_when_the_terminal_is_closed(bench: Bench) -> None:
    """A shell may end before its children; closing the terminal still finds them."""
    service = await bench.start()
    id_ = await service.open_terminal(80, 24)
    screen = await look(service, id_)
    await screen.viewer.write(b"(trap '' HUP; exec sleep 303) & echo kid=$!end; exit\n")
    await screen.to_end()
    match = re.search(rb"kid=([0-9]+)end", screen.data)
    assert match is not None
    assert not is_gone(int(match[1]))
    await service.close(id_)
    assert is_gone(int(match[1]))
    screen.viewer.close()


async def test_terminals_beyond_the_limit_are_refused_and_ended_ones_make_room(bench: Bench) -> None:
    """The limit counts shells that live; the oldest that has ended is given up."""
    service = await bench.start(max_terminals=2)
    first = await service.open_terminal(80, 24)
    await service.open_terminal(80, 24)
    with pytest.raises(TerminalLimit):
        await service.open_terminal(80, 24)
    screen = await look(service, first)
    await screen.viewer.write(b"exit\n")
    await screen.to_end()
    screen.viewer.close()
    third = await service.open_terminal(80, 24)
    assert {row.id for row in service.rows()} >= {third}
    assert first not in {row.id for row in service.rows()}


async def test_program_that_is_missing_is_told_and_leaves_nothing(bench: Bench) -> None:
    """The step and the reason are named; no shim, no folder stays."""
    bench.argv = ("/no/such/shell",)
    service = await bench.start()
    with pytest.raises(LaunchFailed, match="program /no/such/shell: No such file"):
        await service.open_terminal(80, 24)
    assert bench.shims() == []
    assert list((bench.folder / "state").iterdir()) == []


async def test_size_is_applied_anew_on_attach(bench: Bench) -> None:
    """Even the same size makes a full-screen program draw itself once more."""
    bench.argv = (sys.executable, "-c", REDRAW)
    service = await bench.start()
    first = await look(service, asked=0)
    await first.until(b"up")
    first.viewer.resize(100, 30)
    await first.until(b"redraw 100 30 ")
    second = await look(service)
    second.viewer.resize(100, 30)
    await second.until(b"redraw 100 30 ")
    first.viewer.close()
    second.viewer.close()


async def test_sockets_and_history_are_for_the_owner_alone(bench: Bench) -> None:
    """Folders 0700, files 0600, nothing secret in argv or environment of the shim."""
    service = await bench.start()
    (await look(service)).viewer.close()
    paths = [path for folder in ("state", "run") for path in (bench.folder / folder).rglob("*")]
    assert len(paths) >= 4
    for path in paths:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    (shim,) = bench.shims()
    about = Path("/proc") / str(shim)
    assert (about / "environ").read_bytes().replace(b"\0", b"") in {b"", b"LC_CTYPE=C.UTF-8"}
    assert b"/bin/sh" not in (about / "cmdline").read_bytes()
    assert (about / "cwd").readlink() == Path("/")


async def test_socket_folder_may_lie_deeper_than_a_socket_path(bench: Bench) -> None:
    """The 107 bytes that a socket's path may have are no limit to ours."""
    bench.folder = bench.folder / ("x" * 100) / ("y" * 100)
    service = await bench.start()
    (await look(service)).viewer.close()
    assert len(bench.shims()) == 1


async def test_a_guest_that_shuts_down_ends_the_shells_and_keeps_their_history(bench: Bench) -> None:
    """Its init asks each shim to end: nothing runs, and the next life can read what was printed."""
    service = await bench.start()
    screen = await look(service)
    await screen.viewer.write(b"echo reme''mber\n")
    await screen.until(b"remember")
    service.detach()
    for shim in bench.shims():
        os.kill(shim, signal.SIGTERM)
    await eventually(lambda: bench.shims() == [])
    again = await bench.start()
    assert again.rows()[0].state == "exited"
    history = await again.history("main", start=None, limit=4096, needle=b"remember")
    assert history.stream == screen.viewer.hello.stream
    assert len(history.matches) == 1
    fresh = await look(again, asked=0)
    await fresh.until(b"remember")
    screen.viewer.close()
    fresh.viewer.close()


async def test_input_to_a_program_that_does_not_read_holds_up_its_own_viewer_only(bench: Bench) -> None:
    """The window shuts; the terminal can still be resized, read and closed."""
    bench.argv = ("/bin/sh", "-c", "stty raw -echo; echo up; sleep 60")
    service = await bench.start()
    id_ = await service.open_terminal(80, 24)
    screen = await look(service, id_, 0)
    await screen.until(b"up")

    async def flood(service: TerminalService) -> None:
        while service.rows():
            await screen.viewer.write(bytes(65536))
            await asyncio.sleep(0)

    task = asyncio.create_task(flood(service))
    done, _ = await asyncio.wait([task], timeout=0.3)
    assert not done
    async with asyncio.timeout(5):
        await service.close(id_)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    screen.viewer.close()


async def test_viewer_that_asks_for_what_is_gone_is_told_the_gap(bench: Bench) -> None:
    """An offset that fell out of the ring, or that never was, yields a gap and then the rest."""
    bench.argv = ("/bin/sh", "-c", "seq 1 400000; echo en''d; sleep 60")
    service = await bench.start()
    screen = await look(service)
    await screen.until(b"end\r\n")
    late = await look(service, asked=5)
    await late.until(b"end\r\n")
    assert late.messages == [Gap(start=5, to=late.viewer.hello.start)]
    beyond = await look(service, asked=10**12)
    assert beyond.viewer.hello.start == beyond.viewer.hello.to
    for one in (screen, late, beyond):
        one.viewer.close()


@pytest.mark.real("root")
async def test_child_loses_the_user_of_the_agent(bench: Bench) -> None:
    """User, group and groups are the customer's, and the terminal belongs to him."""
    service = await bench.start()
    service._launch = lambda: Launch(
        argv=("/bin/sh", "-c", "id -u; id -g; id -G; umask; stat -c %u $(tty); cat /proc/1/environ; pwd"),
        env={"PATH": "/usr/bin:/bin"}, cwd="/root/none", uid=65534, gid=65534, groups=[65534], umask=0o027,
        needs_folder=False,
    )  # fmt: skip
    screen = await look(service, asked=0)
    await screen.to_end()
    lines = screen.data.decode().split("\r\n")
    assert lines[:5] == ["65534", "65534", "65534", "0027", "65534"]
    assert "Permission denied" in lines[5]
    assert lines[6] == "/"
    screen.viewer.close()


async def test_shell_that_is_killed_is_told_by_its_signal(bench: Bench) -> None:
    """Not a code: the name of the signal."""
    service = await bench.start()
    screen = await look(service)
    pid = service.rows()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await screen.to_end())[-1] == Exit(code=None, signal="SIGKILL")
    screen.viewer.close()

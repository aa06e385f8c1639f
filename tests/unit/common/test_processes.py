"""Which processes belong together, and which one a record means."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from zlh_common.processes import (
    ProcessIdentity,
    ProcessRow,
    is_alive,
    parse_stat,
    read_boot_id,
    read_identity,
    select_descendants,
    select_kin,
    send_signal,
)


def row(pid: int, parent: int, session: int, state: str = "S", start: int = 0) -> ProcessRow:
    return ProcessRow(pid, state, parent, session, start or pid * 10)


TABLE = [
    row(1, 0, 1),
    row(10, 1, 10),
    row(11, 10, 10),
    row(12, 11, 12),
    row(13, 1, 10),
    row(14, 10, 10, "Z"),
    row(20, 1, 20),
]


def pids(rows: list[ProcessRow]) -> set[int]:
    return {one.pid for one in rows}


def test_kin_are_the_session_and_all_descendants() -> None:
    """A grandchild in a session of its own belongs, an orphan of the session too; zombies and strangers do not."""
    assert pids(select_kin(TABLE, 10)) == {10, 11, 12, 13}


def test_descendants_are_found_whatever_session_they_have_begun() -> None:
    """The one that is asked about is none of them, nor is an orphan that somebody else has adopted."""
    assert pids(select_descendants(TABLE, 10)) == {11, 12}
    assert pids(select_descendants(TABLE, 11)) == {12}
    assert pids(select_descendants(TABLE, 12)) == set()


def test_stat_line_with_spaces_and_parentheses_in_the_name_is_read() -> None:
    """A process may call itself anything."""
    fields = " ".join(str(number) for number in range(4, 40))
    parsed = parse_stat(f"77 (a) b (c)) S {fields}")
    assert (parsed.pid, parsed.state, parsed.parent, parsed.session, parsed.start_ticks) == (77, "S", 4, 6, 22)


def test_stale_identity_is_never_signalled() -> None:
    """A pid that another process has now, and one of another boot, are left alone."""
    with subprocess.Popen(["sleep", "60"]) as process:
        known = read_identity(process.pid)
        assert known is not None
        for stale in (
            ProcessIdentity(known.pid, known.start_ticks - 1, known.boot_id),
            ProcessIdentity(known.pid, known.start_ticks, "another-boot"),
        ):
            assert not is_alive(stale)
            assert not send_signal(stale, signal.SIGKILL)
        assert process.poll() is None
        assert send_signal(known, signal.SIGKILL)
        assert process.wait(5) == -signal.SIGKILL
    assert not send_signal(known, signal.SIGKILL)
    assert not is_alive(known)


def test_a_zombie_is_not_alive() -> None:
    """What has ended and was not waited for is gone for every purpose of ours."""
    with subprocess.Popen(["sleep", "60"]) as process:
        known = read_identity(process.pid)
        assert known is not None
        assert is_alive(known)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(known)


@pytest.mark.parametrize("pid", [0, -1])
def test_pid_that_means_a_group_is_never_signalled(pid: int) -> None:
    """Zero and below would reach whole groups."""
    assert not send_signal(ProcessIdentity(pid, 0, read_boot_id()), signal.SIGKILL)
    assert read_identity(os.getpid()) == read_identity(os.getpid())

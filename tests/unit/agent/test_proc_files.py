"""What `/proc` says, read out of bytes that the owners of processes have a hand in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.metrics.proc_files import (
    ProcStat,
    parse_figures,
    parse_groups,
    parse_io,
    parse_proc_stat,
    parse_proportional_bytes,
    parse_traffic,
    select_trees,
    shows_own_memory,
)

RECORDED = (
    b"1471 (name) S 1 1471 1471 0 -1 4194560 1903 39206 4 32 111 22 333 44 20 0 3 0 10093 24236032 2897 "
    b"18446744073709551615 94 94 14 0 0 0 671173123 4096 1260 0 0 0 17 1 0 0 0 0 0 94 94 94 14 14 14 14 0\n"
)
SEEN = ProcStat(
    pid=1471, state="S", parent=1, start_ticks=10093, own_ticks=133, ended_ticks=377, threads=3, resident_pages=2897
)


@given(st.binary(max_size=64))
def test_a_process_may_have_any_name(name: bytes) -> None:
    """Line feeds, parentheses and what is no text change nothing about the figures."""
    assert parse_proc_stat(RECORDED.replace(b"name", name)) == SEEN


@given(st.binary(max_size=300))
def test_what_is_no_stat_line_is_a_value_error_or_a_process(raw: bytes) -> None:
    """Nothing else comes out of it."""
    try:
        parse_proc_stat(raw)
    except ValueError:
        return


@given(st.binary(max_size=300))
def test_the_other_files_are_never_an_error(raw: bytes) -> None:
    """What cannot be understood is left out."""
    parse_io(raw)
    parse_proportional_bytes(raw)
    parse_traffic(raw)
    parse_figures(raw)
    parse_groups(raw)
    shows_own_memory(raw)


def test_recorded_files_are_understood() -> None:
    """As a kernel has written them."""
    io = b"rchar: 9\nwchar: 8\nsyscr: 7\nsyscw: 6\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n"
    rollup = b"55d099dda000-7ffd28313000 ---p 00000000 00:00 0    [rollup]\nRss:  12128 kB\nPss:   6695 kB\n"
    network = (
        b"Inter-|   Receive                                                |  Transmit\n"
        b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
        b"    lo:     100       1    0    0    0     0          0         0      100       1    0    0\n"
        b"  eth0:    5760      35    0    0    0     0          0         0     7543      24    0    0\n"
        b"veth:1:       1       0    0    0    0     0          0         0        2       0    0    0\n"
    )
    groups = b"9:name=systemd:/system.slice/a.service\n4:cpu,cpuacct:/x\n0::/system.slice/a.service\n"
    assert parse_io(io) == (4096, 8192)
    assert parse_proportional_bytes(rollup) == 6695 * 1024
    assert parse_traffic(network) == (5761, 7545)
    assert parse_groups(groups) == {
        "name=systemd": "/system.slice/a.service", "cpu": "/x", "cpuacct": "/x", "": "/system.slice/a.service",
    }  # fmt: skip
    assert shows_own_memory(b"lxcfs /proc/meminfo fuse.lxcfs rw 0 0\n")
    assert not shows_own_memory(b"proc /proc proc rw 0 0\n")


@pytest.mark.parametrize("path", ["/../..", "/../../other.slice", "relative"])
def test_a_group_outside_of_what_can_be_seen_is_none(path: str) -> None:
    """Nothing is read through a path that leads up."""
    assert parse_groups(f"0::{path}\n".encode()) == {}


def process(pid: int, parent: int) -> ProcStat:
    return ProcStat(
        pid=pid, state="S", parent=parent, start_ticks=1, own_ticks=0, ended_ticks=0, threads=1, resident_pages=1
    )


def test_a_tree_ends_where_another_begins() -> None:
    """A shim that was started from a terminal stands for itself."""
    stats = [process(10, 1), process(11, 10), process(12, 11), process(20, 12), process(21, 20), process(30, 1)]
    trees = select_trees(stats, [10, 20, 99])
    assert {root: {stat.pid for stat in tree} for root, tree in trees.items()} == {10: {11, 12}, 20: {21}, 99: set()}


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30))), st.sets(st.integers(1, 30)))
def test_kinship_that_runs_in_a_circle_ends(pairs: list[tuple[int, int]], roots: set[int]) -> None:
    """Pids are reused while one reads; each process is counted once at most in a tree, and in one tree."""
    stats = {pid: process(pid, parent) for pid, parent in pairs}
    trees = select_trees(stats.values(), roots)
    found = [stat.pid for tree in trees.values() for stat in tree]
    assert len(found) == len(set(found))
    assert not set(found) & roots

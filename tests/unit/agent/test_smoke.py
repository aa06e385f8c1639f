"""Whether an unpacked runtime works is proved by running it, confined, with nothing in its environment."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fakes.forked import in_child
from guards.leaks import is_gone
from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.runtimes.installing import smoke
from zlh_agent.runtimes.installing.smoke import smoke_test
from zlh_common.schema.catalog import CatalogVersion

needs_landlock = pytest.mark.real("landlock")
Check = Callable[..., None]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with nothing in it."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "scratch").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def check(tree: Path) -> Check:
    """Return what tests the tree as an install child does, in a process that all below may be ended with."""
    return lambda *words, expect="": in_child(
        lambda: smoke_test(tree, version(expect, *words), scratch=tree.parent / "scratch")
    )


def version(expect: str = "", *arguments: str, command: str = "run") -> CatalogVersion:
    """Return a version with a smoke test."""
    return CatalogVersion(
        version="1.0", channel="stable", default=True, licence="MIT", artifacts=(),
        environment={"TINY_HOME": "{root}/lib"}, smoke_test=(command, *arguments), smoke_expect=expect,
    )  # fmt: skip


def write(tree: Path, script: str, mode: int = 0o755) -> None:
    """Write the program of a tree."""
    (tree / "run").write_text(f"#!/bin/sh\n{script}\n")
    (tree / "run").chmod(mode)


def test_the_program_runs_with_its_variables_alone(tree: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own environment is not seen, arguments are not split, and standard error counts as output."""
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    write(tree, 'echo "$TINY_HOME|$SECRET_OF_THE_AGENT|$1|$HOME|$TMPDIR" >&2')
    scratch = tree.parent / "scratch"
    check("a  b", expect=f"{tree}/lib||a  b|{scratch}|{scratch}")


def test_a_runtime_without_a_smoke_test_passes(tree: Path) -> None:
    """There is nothing to run."""
    nothing = CatalogVersion(version="1", channel="stable", default=True, licence="MIT", artifacts=())
    smoke_test(tree, nothing, scratch=tree)


@pytest.mark.parametrize(
    ("script", "mode", "exit_code", "words"),
    [
        ("echo out; echo err >&2; exit 7", 0o755, 7, "ended with 7"),
        ("kill -9 $$", 0o755, -9, "ended with -9"),
        ("echo something else", 0o755, 0, "did not print"),
        ("echo wanted", 0o644, None, "cannot be started"),
    ],
)
def test_what_does_not_run_fails_with_its_last_words(
    script: str, mode: int, exit_code: int | None, words: str, *, tree: Path, check: Check
) -> None:
    """Exit code and output come with the error."""
    write(tree, script, mode)
    with pytest.raises(SmokeTestFailed, match=words) as caught:
        check(expect="wanted")
    assert caught.value.data["exitCode"] == exit_code


def test_a_missing_program_fails(check: Check) -> None:
    """The catalog names a program that the archive has not."""
    with pytest.raises(SmokeTestFailed, match="cannot be started"):
        check()


def test_a_program_of_another_machine_fails(tree: Path, check: Check) -> None:
    """The kernel's own words come with it."""
    (tree / "run").write_bytes(b"\x7fELF no program")
    (tree / "run").chmod(0o755)
    with pytest.raises(SmokeTestFailed, match="cannot be started") as caught:
        check()
    assert "Exec format error" in caught.value.data["output"]


def test_only_the_end_of_much_output_is_kept(tree: Path, check: Check) -> None:
    """Bytes that are no text come as replacement characters, 4 KiB of them at most."""
    write(tree, "head -c 100000 /dev/zero | tr '\\0' '\\377'; echo end; exit 1")
    with pytest.raises(SmokeTestFailed) as caught:
        check()
    assert caught.value.data["output"].endswith("\ufffdend\n")
    assert len(caught.value.data["output"]) <= 4096


ESCAPES = {
    "a child": "sleep 1000 &",
    "a session": "setsid sleep 1000 &",
    "an orphan": "(setsid sh -c 'sleep 1000 & sleep 1000' &)",
    "one that ignores signals": "(trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &)",
}


@pytest.mark.parametrize("how", ESCAPES)
@pytest.mark.parametrize("then", ["exit 0", "exec sleep 1000"])
def test_what_a_program_has_started_ends_with_it(
    how: str, then: str, tree: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it was sent away, whether or not it holds the output open, and whether or not the program ends."""
    monkeypatch.setattr(smoke, "TIMEOUT_S", 1.0)
    write(tree, f"echo begun; {ESCAPES[how]}\n{then}")
    began = time.monotonic()
    if then == "exit 0":
        check(expect="begun")
    else:
        with pytest.raises(SmokeTestFailed, match="did not end"):
            check()
    assert time.monotonic() - began < 20
    below = psutil.Process().children(recursive=True)
    assert not [process for process in below if process.name() == "sleep" and not is_gone(process.pid)]


@needs_landlock
@pytest.mark.parametrize(
    "attempt",
    [
        "echo x > $0",
        "echo x > {tree}/new",
        "rm {tree}/run",
        "mv {tree}/run {scratch}/run",
        "echo x > {outside}/new",
        "cat {outside}/secret",
        "ls {outside}",
        "ln {outside}/secret {scratch}/mine",
        "echo x > /tmp/zlh-evil",
    ],
)
def test_the_program_changes_nothing_and_sees_nothing_of_others(attempt: str, tree: Path, check: Check) -> None:
    """The tree is to be read and run, its own folder to be written; the rest is not there for it."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    command = attempt.format(tree=tree, scratch=tree.parent / "scratch", outside=outside)
    write(tree, f"if {command}; then echo did; else echo did not; fi; echo x > $TMPDIR/own && echo written")
    before = (tree / "run").read_bytes()
    check(expect="did not\nwritten")
    assert (tree / "run").read_bytes() == before
    assert [path.name for path in outside.iterdir()] == ["secret"]


NETWORK = """
import errno, socket, sys
for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM),
                     (socket.AF_INET6, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM),
                     (socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_VSOCK, socket.SOCK_STREAM)):
    try:
        socket.socket(family, kind)
        print("open", family)
    except OSError as error:
        assert error.errno == errno.EACCES, error
socket.socket(socket.AF_UNIX).close()
print("closed")
"""


def test_the_program_has_no_network(tree: Path, check: Check) -> None:
    """Not even a socket, of whatever kind; this machine's own processes may be talked to."""
    (tree / "run").write_text(f"#!/usr/bin/python3\n{NETWORK}")
    (tree / "run").chmod(0o755)
    assert Path("/usr/bin/python3").exists(), "Debian's own"
    with pytest.raises(SmokeTestFailed) as caught:
        check(expect="never printed")
    assert caught.value.data["output"] == "closed\n"


def test_the_tester_keeps_its_own_network(tree: Path, check: Check) -> None:
    """Only the program is cut off."""
    write(tree, "exit 0")
    check()
    socket.socket(socket.AF_INET).close()


def test_memory_has_an_end_and_address_space_has_none(
    tree: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that only reserves, as a JVM does, is not hindered; one that takes is."""
    monkeypatch.setattr(smoke, "DATA_BYTES", 256 * 1024**2)
    reserve = "import mmap; mmap.mmap(-1, 64 << 30, prot=0, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)"
    (tree / "run").write_text(
        f"#!/usr/bin/python3\n{reserve}; print('reserved')\n"
        "try:\n  bytearray(1 << 29)\nexcept MemoryError: print('held')\n"
    )
    (tree / "run").chmod(0o755)
    check(expect="reserved\nheld")


def test_no_file_grows_without_end(tree: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own folder is no place for gigabytes."""
    monkeypatch.setattr(smoke, "FILE_BYTES", 1024**2)
    write(tree, "head -c 10000000 /dev/zero > $TMPDIR/big; echo wrote")
    check(expect="wrote")
    assert (tree.parent / "scratch/big").stat().st_size == 1024**2
    assert os.access(tree.parent / "scratch", os.W_OK)

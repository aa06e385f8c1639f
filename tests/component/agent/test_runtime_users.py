"""Who runs from an installed version, as the kernel tells it: by program, mapping, folder, open file and command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.installed_tree import lay_out
from zlh_agent.runtimes import users
from zlh_agent.runtimes.current import point_current
from zlh_agent.runtimes.errors import RuntimeUseUnknown
from zlh_agent.runtimes.users import find_users

NOBODY = -1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two versions of `a`, 1 in use, and a copy of a real program in each."""
    root = tmp_path / "runtimes"
    for version in ("1", "2"):
        lay_out(root, "a", version)
        shutil.copy2("/bin/sleep", root / "a" / version / "bin/sleep")
    point_current(root / "a", "1")
    return root


@contextmanager
def running(*argv: str, folder: Path | None = None, stdin: Path | None = None) -> Iterator[int]:
    """Run a program for as long as this lasts."""
    with (stdin or Path("/dev/null")).open("rb") as given:
        process = subprocess.Popen(argv, cwd=folder, stdin=given, stdout=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def versions_of(folder: Path, pid: int) -> set[str]:
    """Return the versions that a process uses, as soon as it uses any."""
    due = time.monotonic() + 10
    while True:
        found = find_users([folder], {}, agent=NOBODY)
        used = {version for (_, version), those in found.items() if pid in {user.pid for user in those}}
        if used or time.monotonic() > due:
            return used
        time.sleep(0.02)


def test_nobody_uses_what_nobody_runs(folder: Path) -> None:
    """And a folder that is not there is used by nobody either."""
    assert find_users([folder], {}, agent=NOBODY) == {}
    assert find_users([folder / "none"], {}, agent=NOBODY) == {}


def by_program(folder: Path) -> dict[str, object]:
    """Run a program of it, named with its version."""
    return {"argv": (str(folder / "a/1/bin/sleep"), "100")}


def by_current(folder: Path) -> dict[str, object]:
    """Run a program of it, named by the link."""
    return {"argv": (str(folder / "a/current/bin/sleep"), "100")}


def by_folder(folder: Path) -> dict[str, object]:
    """Stand in it."""
    return {"argv": ("/bin/sleep", "100"), "folder": folder / "a/1/share"}


def by_file(folder: Path) -> dict[str, object]:
    """Hold a file of it open."""
    return {"argv": ("/bin/sleep", "100"), "stdin": folder / "a/current/share/data"}


def by_mapping(folder: Path) -> dict[str, object]:
    """Map a file of it, which is closed again."""
    code = "import mmap,sys,time;f=open(sys.argv[1],'rb');m=mmap.mmap(f.fileno(),0,prot=1);f.close();time.sleep(100)"
    return {"argv": (sys.executable, "-S", "-c", code, str(folder / "a/1/share/data"))}


def by_command(folder: Path) -> dict[str, object]:
    """Run a script of it with an interpreter that closes it once it is read."""
    script = folder / "a/1/bin/tool"
    script.write_text("import time\ntime.sleep(100)\n")
    return {"argv": (sys.executable, str(folder / "a/current/bin/tool"))}


HOW = [by_program, by_current, by_folder, by_file, by_mapping, by_command]


@pytest.mark.parametrize("how", HOW)
def test_each_way_of_using_a_version_is_seen(how: Callable[[Path], dict[str, object]], folder: Path) -> None:
    """By its own version and no other."""
    options = how(folder)
    with running(*options.pop("argv"), **options) as pid:  # type: ignore[misc, arg-type]
        assert versions_of(folder, pid) == {"1"}


@pytest.mark.parametrize("how", [by_current, by_file])
def test_a_process_keeps_the_version_that_it_was_started_from(
    how: Callable[[Path], dict[str, object]], folder: Path
) -> None:
    """Also when `current` leads elsewhere by now."""
    options = how(folder)
    with running(*options.pop("argv"), **options) as pid:  # type: ignore[misc, arg-type]
        assert versions_of(folder, pid) == {"1"}
        point_current(folder / "a", "2")
        assert versions_of(folder, pid) == {"1"}


def test_users_are_known_by_their_owner(folder: Path) -> None:
    """The process or terminal whose shim is above them, however far."""
    program = folder / "a/1/bin/sleep"
    with running("/bin/sh", "-c", f"{program} 100 & wait") as shim:
        due = time.monotonic() + 10
        while not (found := find_users([folder], {shim: "process web"}, agent=NOBODY)) and time.monotonic() < due:
            time.sleep(0.02)
        (user,) = found["a", "1"]
        assert (user.owner, user.name) == ("process web", "sleep")
        os.kill(user.pid, 9)


def test_the_agent_and_its_children_are_nobody(folder: Path) -> None:
    """A check of its own holds files open, and keeps nothing."""
    with running(str(folder / "a/1/bin/sleep"), "100") as pid:
        assert versions_of(folder, pid) == {"1"}
        assert find_users([folder], {}, agent=os.getpid()) == {}


def test_a_look_through_a_link_finds_the_same(folder: Path, tmp_path: Path) -> None:
    """The container's root may be reached by another name than the kernel's."""
    (tmp_path / "alias").symlink_to(folder)
    with running(str(folder / "a/1/bin/sleep"), "100") as pid:
        assert versions_of(tmp_path / "alias", pid) == {"1"}


@pytest.mark.parametrize(("bound", "value"), [("MAX_PROCESSES", 1), ("SCAN_S", -1.0), ("MAX_OPEN_FILES", 1)])
def test_more_than_can_be_looked_at_is_not_taken_for_nobody(
    bound: str, value: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes on the word of this must not be told half of it."""
    monkeypatch.setattr(users, bound, value)
    with pytest.raises(RuntimeUseUnknown):
        find_users([folder], {}, agent=NOBODY)

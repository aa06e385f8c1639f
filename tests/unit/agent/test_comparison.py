"""A tree is what its list says, or each difference is named; nothing in it leads a comparison astray or holds it up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fakes.installed_tree import lay_out, list_tree, write_list
from zlh_agent.runtimes.checking import comparison
from zlh_agent.runtimes.checking.comparison import Findings, compare_tree
from zlh_agent.runtimes.checking.verify_child import verify
from zlh_agent.runtimes.model import FILES_NAME, RECORD_NAME, VerifyOrder
from zlh_common.schema.runtime import MAX_NAMED_FILES
from zlh_common.trees import delete_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return an installed version."""
    return lay_out(tmp_path, "a", "1")


def test_a_tree_that_is_as_it_was_has_no_faults(tree: Path) -> None:
    """Its own list and record are no files of the runtime."""
    assert compare_tree(tree) == Findings()
    assert verify(VerifyOrder(tree=str(tree))).faults == 0


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    make(path)


def put(path: Path) -> None:
    """Make a file, and its folders."""
    path.parent.mkdir(parents=True)
    path.touch()


SPOILT: dict[str, tuple[Callable[[Path], object], Findings]] = {
    "other bytes": (lambda tree: (tree / "share/data").write_text("y" * 1000), Findings(changed=["share/data"])),
    "more bytes": (lambda tree: (tree / "share/data").write_text("x" * 1001), Findings(changed=["share/data"])),
    "emptied": (lambda tree: (tree / "share/data").write_text(""), Findings(changed=["share/data"])),
    "gone": (lambda tree: (tree / "share/data").unlink(), Findings(missing=["share/data"])),
    "no right to run": (lambda tree: (tree / "bin/a").chmod(0o644), Findings(changed=["bin/a"])),
    "a right to run": (lambda tree: (tree / "share/data").chmod(0o755), Findings(changed=["share/data"])),
    "set-uid": (lambda tree: (tree / "bin/a").chmod(0o4755), Findings(changed=["bin/a"])),
    "writable folder": (lambda tree: (tree / "bin").chmod(0o777), Findings(changed=["bin"])),
    "added file": (lambda tree: (tree / "bin/node").touch(), Findings(added=["bin/node"])),
    "added link": (lambda tree: (tree / "x").symlink_to("/etc/passwd"), Findings(added=["x"])),
    "added deep": (lambda tree: put(tree / "x/y/z/f"), Findings(added=["x/y/z/f"])),
    "link elsewhere": (
        lambda tree: replace(tree / "bin/also", lambda path: path.symlink_to("b")), Findings(changed=["bin/also"]),
    ),
    "link for a file": (
        lambda tree: replace(tree / "share/data", lambda path: path.symlink_to("/dev/zero")),
        Findings(changed=["share/data"]),
    ),
    "pipe for a file": (lambda tree: replace(tree / "share/data", os.mkfifo), Findings(changed=["share/data"])),
    "folder for a file": (lambda tree: replace(tree / "share/data", Path.mkdir), Findings(changed=["share/data"])),
    "file for a link": (lambda tree: replace(tree / "bin/also", Path.touch), Findings(changed=["bin/also"])),
    "endless file": (lambda tree: os.truncate(tree / "share/data", 1 << 43), Findings(changed=["share/data"])),
    "no list": (lambda tree: (tree / FILES_NAME).unlink(), Findings(changed=[FILES_NAME])),
    "another list": (lambda tree: (tree / FILES_NAME).write_bytes(b"{}"), Findings(changed=[FILES_NAME])),
    "list that is none": (lambda tree: (tree / FILES_NAME).write_bytes(b"[1"), Findings(changed=[FILES_NAME])),
    "no record": (lambda tree: (tree / RECORD_NAME).unlink(), Findings(changed=[RECORD_NAME])),
    "deep record": (lambda tree: (tree / RECORD_NAME).write_bytes(b"[" * 99_999), Findings(changed=[RECORD_NAME])),
    "pipe for a record": (lambda tree: replace(tree / RECORD_NAME, os.mkfifo), Findings(changed=[RECORD_NAME])),
}  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("how", SPOILT)
def test_each_difference_is_named(how: str, tree: Path) -> None:
    """By its kind, once, and without waiting for a pipe or reading what is elsewhere."""
    spoil, findings = SPOILT[how]
    spoil(tree)
    assert compare_tree(tree) == findings
    assert bool(compare_tree(tree).changed_or_missing()) == (not findings.added)


def test_a_folder_that_became_a_link_is_not_entered(tree: Path, tmp_path: Path) -> None:
    """What it leads to holds the very same files, and is none of this tree."""
    (tree / "share").rename(tmp_path / "elsewhere")
    (tree / "share").symlink_to(tmp_path / "elsewhere")
    assert compare_tree(tree) == Findings(missing=["share/data"], added=["share"])


def test_what_python_keeps_of_its_modules_is_no_fault(tree: Path) -> None:
    """It writes that as soon as it is run by who owns it; of a module that is none of the list it is one."""
    (tree / "lib").mkdir()
    (tree / "lib/json.py").touch()
    listed = {name: said for name, said in list_tree(tree).items() if not name.startswith(".zlh")}
    write_list(tree, listed)
    put(tree / "lib/__pycache__/json.cpython-311.opt-1.pyc")
    assert compare_tree(tree) == Findings()
    (tree / "lib/__pycache__/evil.cpython-311.pyc").touch()
    (tree / "lib/__pycache__/json.so").touch()
    assert compare_tree(tree) == Findings(added=["lib/__pycache__/evil.cpython-311.pyc", "lib/__pycache__/json.so"])


def test_a_file_of_somebody_else_is_a_fault(tree: Path) -> None:
    """He could change it whenever he likes."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(tree / "bin/a", 12345, 12345)
    assert compare_tree(tree) == Findings(changed=["bin/a"])


def test_a_list_without_modes_is_compared_without_them(tree: Path) -> None:
    """An older agent wrote none."""
    listed = {name: said for name, said in list_tree(tree).items() if not name.startswith(".zlh")}
    write_list(tree, {name: said if said.startswith("->") else said[:64] for name, said in listed.items()})
    (tree / "bin/a").chmod(0o700)
    assert compare_tree(tree) == Findings()
    (tree / "bin/a").write_text("2")
    assert compare_tree(tree) == Findings(changed=["bin/a"])


def test_more_than_there_can_be_is_not_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that somebody has filled is wrong after so many entries, folders counted too."""
    monkeypatch.setattr(comparison, "MAX_FURTHER", 50)
    for number in range(200):
        (tree / f"folder-{number}").mkdir()
    findings = compare_tree(tree)
    assert findings == Findings(changed=["."])


def test_what_was_added_hides_nothing_that_was_changed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than is looked at, in a folder of its own: all that is listed is compared all the same."""
    monkeypatch.setattr(comparison, "MAX_FURTHER", 50)
    (tree / "added").mkdir()
    for number in range(200):
        (tree / f"added/{number}").touch()
    assert compare_tree(tree).changed_or_missing() == []
    (tree / "bin/also").unlink()
    (tree / "share/data").write_text("y" * 1000)
    found = compare_tree(tree)
    assert (found.changed, found.missing, len(found.added) > 40) == (["share/data"], ["bin/also"], True)


def test_no_more_is_read_than_there_was(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have grown are proved wrong by their number of bytes alone."""
    monkeypatch.setattr(comparison, "READ_RESERVE_BYTES", 0)
    os.truncate(tree / "bin/a", 1 << 43)
    assert compare_tree(tree) == Findings(changed=["bin/a"])


def test_the_answer_is_bounded_and_is_text(tree: Path) -> None:
    """A hundred names of each kind, whatever bytes are in them; the number is that of all."""
    for number in range(300):
        (tree / b"odd-\xff-%03d".__mod__(number).decode("utf-8", "surrogateescape")).touch()
    (tree / ("x" * 255)).touch()
    found = verify(VerifyOrder(tree=str(tree)))
    assert (found.faults, len(found.added), found.added[0]) == (301, MAX_NAMED_FILES, "odd-\\xff-000")
    assert max(map(len, found.added)) <= 200
    msgspec.json.encode(found)


def test_a_tree_deeper_than_a_path_can_be_ends(tree: Path) -> None:
    """Folders in folders in folders: what no path reaches holds up nobody."""
    here = os.open(tree, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("folder", dir_fd=here)
            below = os.open("folder", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    try:
        assert compare_tree(tree).missing == []
    finally:
        delete_tree(tree)

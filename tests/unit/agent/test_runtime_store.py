"""What is installed is what the disk says: whole trees with a record, and a `current` link that really leads to one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes.installed_tree import lay_out as install
from zlh_agent.runtimes.current import CURRENT, point_current, read_current
from zlh_agent.runtimes.model import FILES_NAME, RECORD_FORMAT, RECORD_NAME
from zlh_agent.runtimes.store import Broken, RuntimeStore


def load(folder: Path) -> list[tuple[str, str, bool]]:
    """Return name, version and use of every install."""
    return [(held.record.name, held.record.version, held.is_current) for held in RuntimeStore(folder).load().installed]


def test_nothing_is_installed_where_there_is_no_folder(tmp_path: Path) -> None:
    """A fresh container has none."""
    RuntimeStore(tmp_path / "none").sweep()
    assert load(tmp_path / "none") == []


def test_installs_come_by_name_and_version(tmp_path: Path) -> None:
    """And one of each name is in use."""
    for name, version in (("b", "1"), ("a", "2"), ("a", "1")):
        install(tmp_path, name, version)
    point_current(tmp_path / "a", "2")
    assert load(tmp_path) == [("a", "1", False), ("a", "2", True), ("b", "1", False)]


@pytest.mark.parametrize("raw", [None, b"", b"{", b"[]", b"\xff", b"{}"])
def test_a_tree_without_a_whole_record_is_no_install(raw: bytes | None, tmp_path: Path) -> None:
    """Missing, empty, cut: what a broken disk leaves is not taken for a runtime."""
    record = install(tmp_path, "a", "1") / RECORD_NAME
    record.unlink()
    if raw is not None:
        record.write_bytes(raw)
    assert load(tmp_path) == []


@pytest.mark.parametrize("changes", [{"name": "b"}, {"version": "2"}, {"format": RECORD_FORMAT + 1}])
def test_a_record_of_something_else_is_no_install(changes: dict[str, object], tmp_path: Path) -> None:
    """A tree that was moved, or that a newer agent has made."""
    install(tmp_path, "a", "1", changes)
    assert load(tmp_path) == []


def test_strange_things_beside_the_trees_are_passed_over(tmp_path: Path) -> None:
    """Files, foreign links, hidden folders and empty ones break nothing."""
    install(tmp_path, "a", "1")
    (tmp_path / "file").write_text("x")
    (tmp_path / "a/file").write_text("x")
    (tmp_path / "a/empty").mkdir()
    (tmp_path / "a/alias").symlink_to("1")
    (tmp_path / "a/.staging-x").mkdir()
    assert load(tmp_path) == [("a", "1", False)]


def test_sweep_deletes_what_killed_installs_left_and_nothing_else(tmp_path: Path) -> None:
    """Staging folders go with all that is in them, trees and links stay."""
    install(tmp_path, "a", "1")
    point_current(tmp_path / "a", "1")
    for name in (".staging-x/bin", ".staging-y"):
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / "file").write_text("x")
    (tmp_path / "a/.staging-y").chmod(0o500)
    RuntimeStore(tmp_path).sweep()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1", CURRENT]
    assert load(tmp_path) == [("a", "1", True)]


def test_current_is_switched_by_one_rename(tmp_path: Path) -> None:
    """Whoever looks while it is switched to and fro sees one of the two, never nothing."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
    point_current(tmp_path, "1")
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add(read_current(tmp_path))

    looking = threading.Thread(target=look)
    looking.start()
    for turn in range(200):
        point_current(tmp_path, "12"[turn % 2])
    stop.set()
    looking.join()
    assert seen == {"1", "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", CURRENT]


def test_current_replaces_a_link_that_dangles_or_is_foreign(tmp_path: Path) -> None:
    """Whatever it led to before, it leads to the version now."""
    for before in ("gone", "/etc/passwd", ".."):
        (tmp_path / CURRENT).unlink(missing_ok=True)
        (tmp_path / CURRENT).symlink_to(before)
        point_current(tmp_path, "1")
        assert read_current(tmp_path) == "1"


def test_a_link_that_dangles_is_no_version_in_use(tmp_path: Path) -> None:
    """Where the tree has gone, nothing is in use."""
    install(tmp_path, "a", "1")
    point_current(tmp_path / "a", "2")
    assert load(tmp_path) == [("a", "1", False)]


def test_a_file_in_the_place_of_current_is_no_version(tmp_path: Path) -> None:
    """It is replaced by the next install."""
    (tmp_path / CURRENT).write_text("1")
    assert read_current(tmp_path) is None
    point_current(tmp_path, "1")
    assert read_current(tmp_path) == "1"


def test_what_is_odd_is_told_and_hides_nothing(tmp_path: Path) -> None:
    """A broken tree of ours is one, what is foreign is named, and the installs beside it are found."""
    install(tmp_path, "a", "1")
    (install(tmp_path, "a", "2") / RECORD_NAME).write_bytes(b"{")
    (install(tmp_path, "b", "1") / FILES_NAME).unlink()
    point_current(tmp_path / "a", "2")
    for stranger in ("file", "a/notes"):
        (tmp_path / stranger).touch()
    (tmp_path / "a/mine").mkdir()
    (tmp_path / "link").symlink_to("a")
    found = RuntimeStore(tmp_path).load()
    assert [(entry.record.name, entry.record.version) for entry in found.installed] == [("a", "1"), ("b", "1")]
    assert found.broken == (Broken("a", "2", is_current=True),)
    assert [Path(path).name for path in found.foreign] == ["mine", "notes", "file", "link"]
    assert found.unreadable == ()


@pytest.mark.parametrize("how", ["loop", "file"])
def test_a_folder_that_is_none_is_told(how: str, tmp_path: Path) -> None:
    """Nothing is raised, for the agent must start."""
    folder = tmp_path / "runtimes"
    if how == "loop":
        folder.symlink_to(folder.name)
    else:
        folder.touch()
    found = RuntimeStore(folder).load()
    RuntimeStore(folder).sweep()
    assert (found.installed, len(found.unreadable)) == ((), 1)


def test_sweep_deletes_folders_without_a_version(tmp_path: Path) -> None:
    """A removal that was killed at its end leaves a link that dangles, or an empty folder; what is foreign stays."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/current").symlink_to("1")
    (tmp_path / "c/notes").touch()
    RuntimeStore(tmp_path).sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_folder_in_the_place_of_current_gives_way(tmp_path: Path) -> None:
    """No rename replaces one, so it goes first."""
    install(tmp_path, "a", "1")
    (tmp_path / "a/current/x").mkdir(parents=True)
    point_current(tmp_path / "a", "1")
    assert load(tmp_path) == [("a", "1", True)]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1", "current"]

"""What is installed is what the disk says: whole trees with a record, and a `current` link that really leads to one."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from zlh_agent.runtimes.current import CURRENT, point_current, read_current
from zlh_agent.runtimes.model import FILES_NAME, RECORD_FORMAT, RECORD_NAME, InstallRecord
from zlh_agent.runtimes.store import RuntimeStore, find_changed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def install(folder: Path, name: str, version: str, changes: dict[str, object] | None = None) -> Path:
    """Lay out an installed version as the install child does."""
    tree = folder / name / version
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / name).write_text(version)
    (tree / "bin/also").symlink_to(name)
    digest = hashlib.sha256(version.encode()).hexdigest()
    listed = msgspec.json.encode({f"bin/{name}": digest, "bin/also": f"-> {name}"})
    (tree / FILES_NAME).write_bytes(listed)
    record = InstallRecord(
        format=RECORD_FORMAT, name=name, version=version, sha256="0" * 64, size=3, source="wheel:x",
        catalog_published_at=NOW, installed_at=NOW, bin=("bin",), environment={},
        files_sha256=hashlib.sha256(listed).hexdigest(),
    )  # fmt: skip
    record = msgspec.structs.replace(record, **(changes or {}))
    (tree / RECORD_NAME).write_bytes(msgspec.json.encode(record))
    return tree


def load(folder: Path) -> list[tuple[str, str, bool]]:
    """Return name, version and use of every install."""
    return [(held.record.name, held.record.version, held.is_current) for held in RuntimeStore(folder).load()]


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


def test_changed_files_are_found(tmp_path: Path) -> None:
    """Other bytes, a missing file, a link that leads elsewhere, and the list itself."""
    tree = install(tmp_path, "a", "1")
    assert find_changed(tree) == []
    (tree / "bin/a").write_text("2")
    (tree / "bin/also").unlink()
    (tree / "bin/also").symlink_to("b")
    assert find_changed(tree) == ["bin/a", "bin/also"]
    (tree / "bin/a").unlink()
    assert find_changed(tree) == ["bin/a", "bin/also"]
    (tree / FILES_NAME).write_bytes(b"{}")
    assert find_changed(tree) == [FILES_NAME]

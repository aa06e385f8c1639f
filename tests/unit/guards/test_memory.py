"""Which tests have their folder in memory, and that it is gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from guards import memory, remains

ROOT = Path(__file__).parents[3]
ONE = f"{memory.WANTED[0]}::test_name"


@pytest.fixture
def in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a folder be what memory is, with room for a test."""
    monkeypatch.setattr(memory, "MEMORY", tmp_path)
    monkeypatch.setattr(memory, "LEAST_FREE_BYTES", 0)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    return tmp_path


def test_what_is_listed_is_there() -> None:
    """A file that was moved would be on the disk again without a word."""
    assert [each for each in memory.WANTED if not (ROOT / each).exists()] == []


def test_a_listed_test_has_a_folder_of_its_own(in_memory: Path) -> None:
    """Below one that says whose it is, and that goes with everything in it."""
    temp = Path("/tmp/zlht-abc/gw0")
    first, second = memory.make_folder(temp, ONE), memory.make_folder(temp, ONE)
    assert first is not None
    assert second is not None
    assert first != second
    assert first.parent == second.parent == memory.folder_of(temp) == in_memory / "tmp-zlht-abc-gw0"
    remains.remove(memory.folder_of(temp))
    assert list(in_memory.iterdir()) == []


def test_a_server_of_databases_has_a_folder_too(in_memory: Path) -> None:
    """It goes with those of the tests, also where the worker was cut short that had started the server."""
    temp = Path("/tmp/zlht-abc/gw0")
    folder = memory.make_server_folder(temp)
    assert folder is not None
    assert folder.parent == memory.folder_of(temp)
    remains.remove(memory.folder_of(temp))
    assert list(in_memory.iterdir()) == []


def test_others_stay_on_the_disk(in_memory: Path) -> None:
    """A test that is not listed, and any where memory has no room."""
    assert memory.make_folder(Path("/tmp/a"), "tests/unit/guards/test_memory.py::test_name") is None
    assert list(in_memory.iterdir()) == []


def test_without_room_it_is_the_disk(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is short of memory would fail for another reason than its test's."""
    monkeypatch.setattr(memory, "LEAST_FREE_BYTES", 2**62)
    assert memory.make_folder(Path("/tmp/a"), ONE) is None
    assert memory.make_server_folder(Path("/tmp/a")) is None
    assert list(in_memory.iterdir()) == []

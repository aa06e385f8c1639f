"""An install begins where it has room, in bytes and in files, with a reserve beside it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from zlh_agent.runtimes.errors import DiskFull
from zlh_agent.runtimes.installing import disk_room
from zlh_agent.runtimes.installing.disk_room import (
    RESERVE_BYTES,
    RESERVE_FILES,
    Need,
    Room,
    ensure_room,
    read_room,
    told_when_full,
    tree_need,
)

ROOM = Room(RESERVE_BYTES + 10_000, RESERVE_FILES + 10)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file system leave that much."""
    monkeypatch.setattr(disk_room, "read_room", lambda _folder: ROOM)


@pytest.mark.usefixtures("room")
def test_what_fits_is_let_through(tmp_path: Path) -> None:
    """To the last byte and the last file, below folders that are not there yet too."""
    ensure_room([Need(tmp_path, 4_000, 4), Need(tmp_path / "not/yet/there", 6_000, 6)])


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("more", [Need(Path("/"), 1, 0), Need(Path("/"), 0, 1)])
def test_needs_of_one_file_system_add_up(more: Need, tmp_path: Path) -> None:
    """One byte or one file too many is told with all numbers."""
    with pytest.raises(DiskFull) as caught:
        ensure_room([Need(tmp_path, 4_000, 4), Need(tmp_path, 6_000, 6), replace(more, folder=tmp_path)])
    assert str(ROOM.size) in caught.value.detail
    assert str(ROOM.files) in caught.value.detail
    assert str(RESERVE_BYTES + 10_000 + more.size) in caught.value.detail
    assert caught.value.retryable


def test_a_file_system_that_counts_no_files_has_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As btrfs, which says 0 of 0."""
    monkeypatch.setattr(disk_room, "read_room", lambda _folder: replace(ROOM, files=None))
    ensure_room([Need(tmp_path, 10_000, 10**9)])
    with pytest.raises(DiskFull) as caught:
        ensure_room([Need(tmp_path, 10_001, 1)])
    assert "files" not in caught.value.detail


def test_files_take_blocks(tmp_path: Path) -> None:
    """A thousand files of a byte are not a thousand bytes."""
    assert tree_need(tmp_path, size=1000, files=1000).size > 4_000_000
    assert read_room(tmp_path / "not/there").size > 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_without_room_is_told_with_numbers(number: int, tmp_path: Path) -> None:
    """Whether the disk is full or the quota."""
    with pytest.raises(DiskFull, match="12345"), told_when_full(Need(tmp_path, 12345, 1)):
        raise OSError(number, os.strerror(number))


def test_another_trouble_is_another(tmp_path: Path) -> None:
    """It stays what it is."""
    with pytest.raises(OSError, match="Input/output") as caught, told_when_full(Need(tmp_path, 1, 1)):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert caught.value.errno == errno.EIO

"""A finished tree takes the place of another: at every moment one of them has the name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zlh_agent.runtimes.installing import exchange
from zlh_agent.runtimes.installing.exchange import put_in_place
from zlh_agent.runtimes.store import undo_half_exchange


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with an old version, and a new one that waits in a staging folder."""
    (tmp_path / "1.0").mkdir()
    (tmp_path / "1.0/old").touch()
    (tmp_path / ".staging-x/tree").mkdir(parents=True)
    (tmp_path / ".staging-x/tree/new").touch()
    return tmp_path


def place(home: Path) -> None:
    """Put the new version in."""
    put_in_place(home / ".staging-x/tree", home / "1.0", attic=home / ".staging-x")


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def refuse(*_arguments: object) -> None:
    """Do as a file system does that exchanges nothing."""
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_the_new_one_is_there_and_the_old_one_aside(home: Path) -> None:
    """For the sweep to delete."""
    place(home)
    assert (names(home / "1.0"), names(home / ".staging-x/tree")) == (["new"], ["old"])


def test_a_file_system_that_cannot_exchange_is_no_hindrance(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the end."""
    monkeypatch.setattr(exchange, "renameat2", refuse)
    place(home)
    assert (names(home / "1.0"), names(home / ".staging-x/replaced")) == (["new"], ["old"])
    assert names(home) == [".staging-x", "1.0"]


def test_where_nothing_is_it_is_a_rename(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exchanged."""
    monkeypatch.setattr(exchange, "renameat2", refuse)
    (home / "1.0/old").unlink()
    (home / "1.0").rmdir()
    place(home)
    assert (names(home / "1.0"), names(home / ".staging-x")) == (["new"], [])


def test_another_trouble_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the old one stays."""

    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(exchange, "renameat2", fail)
    with pytest.raises(OSError, match="Input/output"):
        place(home)
    assert names(home / "1.0") == ["old"]


@pytest.mark.parametrize("is_half", [True, False])
def test_a_crash_between_two_renames_is_made_good(is_half: bool, home: Path) -> None:
    """The old one comes back where nothing has its name, and is a leftover where the new one is there."""
    (home / "1.0").rename(home / ".replaced-1.0")
    if not is_half:
        (home / ".staging-x/tree").rename(home / "1.0")
    undo_half_exchange(home)
    assert names(home / "1.0") == (["old"] if is_half else ["new"])
    assert not (home / ".replaced-1.0").exists()
    assert any(name.startswith(".staging-.replaced") for name in names(home)) is not is_half

"""Root's files in a tree where a hostile customer was, is, and swaps names under root's hands."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.racer import swapping
from zlh_api.drivers.lxc.identity import put_files

FILES = {"agent.key": b"secret", "agent.toml": b"config"}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beyond the tree, with a file of the host."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "agent.key").write_bytes(b"of the host")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root file system."""
    (tmp_path / "tree/etc").mkdir(parents=True)
    return tmp_path / "tree"


def put(tree: Path) -> None:
    """Do what the driver does."""
    put_files(tree, "etc/zlh", FILES, owner_id=os.getuid(), mode=0o600)


def test_files_are_there_whole_and_private(tree: Path) -> None:
    """Their owner's alone, twice as good as once, and nothing beside them."""
    put(tree)
    put(tree)
    folder = tree / "etc/zlh"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["etc", "etc/zlh"])
@pytest.mark.parametrize("target", ["{outside}", "../outside", "/proc/self/root/{outside}"])
def test_a_folder_that_is_a_link_is_refused(tree: Path, outside: Path, name: str, target: str) -> None:
    """Wherever it leads, by whatever way, and whichever folder it is."""
    if name == "etc":
        (tree / "etc").rmdir()
    (tree / name).symlink_to(target.format(outside=outside))
    with pytest.raises(OSError, match="in the container"):
        put(tree)
    assert [path.read_bytes() for path in outside.iterdir()] == [b"of the host"]


OBSTACLES: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda place, outside: place.symlink_to(outside / "agent.key"),
    "hard link": lambda place, outside: place.hardlink_to(outside / "agent.key"),
    "pipe": lambda place, _outside: os.mkfifo(place),
    "link to a terminal": lambda place, _outside: place.symlink_to("/dev/tty"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_stands_at_a_name_is_replaced_and_never_opened(tree: Path, outside: Path, obstacle: str) -> None:
    """Neither followed nor written into nor waited for."""
    (tree / "etc/zlh").mkdir()
    OBSTACLES[obstacle](tree / "etc/zlh/agent.key", outside)
    put(tree)
    key = tree / "etc/zlh/agent.key"
    assert (key.read_bytes(), key.is_symlink(), key.stat().st_nlink) == (b"secret", False, 1)
    assert (outside / "agent.key").read_bytes() == b"of the host"


def test_a_folder_at_a_name_is_told(tree: Path) -> None:
    """It is the customer's own tree that is spoilt, and the reason names the place."""
    (tree / "etc/zlh/agent.key").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        put(tree)


def test_who_swaps_folders_under_root_s_hands_wins_nothing(tree: Path, outside: Path) -> None:
    """A link leads out and in in turn while files are put: outside nothing comes to be, and nothing changes."""
    put(tree)
    (tree / "etc/link").symlink_to("../../outside")
    told = Counter[int]()
    with swapping((tree / "etc/zlh", tree / "etc/link")):
        # Until it was a race: both ways were met, often.
        while not (told[0] > 100 and told[errno.ELOOP] + told[errno.ENOTDIR] > 100):
            try:
                put(tree)
            except OSError as error:
                told[error.errno or 0] += 1
            else:
                told[0] += 1
            assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"agent.key": b"of the host"}
    assert set(told) <= {0, errno.ELOOP, errno.ENOTDIR}

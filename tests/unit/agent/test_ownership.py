"""Whose the folders of installs are, and how those of root are given away once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zlh_agent.runtimes.ownership import InstallUserUnknown, ensure_folders, find_user

NOBODY = (65534, 65534)
needs_root = pytest.mark.real("root")


def owners(folder: Path) -> set[tuple[int, int]]:
    """Return who owns what is there."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}


def modes(*folders: Path) -> list[int]:
    """Return their modes."""
    return [folder.stat().st_mode & 0o777 for folder in folders]


def test_folders_are_made_as_they_must_be(tmp_path: Path) -> None:
    """Trees for everybody to run, the rest for nobody else; nobody else where nobody was named."""
    trees, private = tmp_path / "opt/zlh/runtimes", tmp_path / "var/lib/zlh/downloads"
    for _ in range(2):
        ensure_folders(trees, [private], None)
        assert modes(trees, private) == [0o755, 0o700]
        assert owners(tmp_path) == {(os.geteuid(), os.getegid())}


@needs_root
def test_folders_belong_to_the_user(tmp_path: Path) -> None:
    """Whoever passes the folder above sees no more of it than before."""
    state = tmp_path / "zlh"
    state.mkdir(mode=0o700)
    ensure_folders(tmp_path / "runtimes", [state / "downloads"], NOBODY)
    assert owners(tmp_path / "runtimes") == owners(state / "downloads") == {NOBODY}
    assert modes(state) == [0o711]


@needs_root
def test_what_was_roots_is_given_away_once(tmp_path: Path) -> None:
    """All below it, links and not what they lead to; what belongs to somebody else stays with them."""
    trees, outside = tmp_path / "runtimes", tmp_path / "outside"
    (trees / "tiny/1.0/bin").mkdir(parents=True)
    (trees / "tiny/1.0/bin/tiny").touch()
    outside.mkdir()
    (outside / "secret").touch()
    (trees / "tiny/current").symlink_to("1.0")
    (trees / "out").symlink_to(outside)
    (trees / "file").symlink_to(outside / "secret")
    (trees / "theirs").touch()
    os.chown(trees / "theirs", 1234, 1234)
    trees.chmod(0o700)
    ensure_folders(trees, [], NOBODY)
    assert owners(trees) == {NOBODY, (1234, 1234)}
    assert owners(outside) == {(0, 0)}
    assert modes(trees) == [0o755]
    os.chown(trees / "tiny/1.0/bin/tiny", 0, 0)
    ensure_folders(trees, [], NOBODY)
    assert (trees / "tiny/1.0/bin/tiny").stat().st_uid == 0, "done once, and not at every start"


@needs_root
def test_a_crash_half_way_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder itself is given last."""
    trees = tmp_path / "runtimes"
    for number in range(5):
        (trees / f"{number}").mkdir(parents=True)
    real, left = os.chown, [3]

    def chown(*arguments: object, **named: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("power cut")
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(OSError, match="power cut"):
        ensure_folders(trees, [], NOBODY)
    assert trees.stat().st_uid == 0
    left[0] = 100
    ensure_folders(trees, [], NOBODY)
    assert owners(trees) == {NOBODY}


def test_who_the_user_is() -> None:
    """By the system's own list; one that is not there is told."""
    assert find_user(None) is None
    assert find_user("root") == (0, 0)
    with pytest.raises(InstallUserUnknown, match="zlh-nobody-of-this-name"):
        find_user("zlh-nobody-of-this-name")

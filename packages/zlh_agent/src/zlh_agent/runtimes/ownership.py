"""The folders of installs, and whose they are: a user that owns nothing else, where there is one."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from zlh_common.errors import ZlhError

# Trees are for everybody to run; the rest is nobody else's business.
TREES_MODE, PRIVATE_MODE = 0o755, 0o700
# Below a folder of the agent's own, which others may pass and not list.
PASS_BITS = 0o011


class InstallUserUnknown(ZlhError):
    """The container has no user of the name that installs run as."""

    code, status, retryable = "install_user_unknown", 500, True

    def __init__(self, name: str) -> None:
        super().__init__(f"The container has no user {name}, as whom runtimes are installed.")


def find_user(name: str | None) -> tuple[int, int] | None:
    """Return uid and gid, None for None; raise InstallUserUnknown. Blocks."""
    if name is None:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError as exc:
        raise InstallUserUnknown(name) from exc
    return found.pw_uid, found.pw_gid


def ensure_folders(trees: Path, private: Sequence[Path], user: tuple[int, int] | None) -> None:
    """Make the folders that installs write to, and have them belong to `user` (uid, gid) where that is given."""
    for folder, mode in ((trees, TREES_MODE), *((folder, PRIVATE_MODE) for folder in private)):
        _ensure_folder(folder, mode, user)


def _ensure_folder(folder: Path, mode: int, user: tuple[int, int] | None) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        folder.mkdir(mode=mode, exist_ok=True)
    if user is None or os.geteuid() != 0:
        return
    parent = folder.parent.stat()
    if parent.st_mode & PASS_BITS != PASS_BITS:
        folder.parent.chmod(stat.S_IMODE(parent.st_mode) | PASS_BITS)
    if folder.lstat().st_uid != user[0]:
        folder.chmod(mode)
        take_over(folder, user)


def take_over(folder: Path, user: tuple[int, int]) -> None:
    """Give a folder of root's, and all below it, to a user, once; a crash half-way is made good by the next time.

    Until now nobody but root could write there. What belongs to anybody else is not ours to give, and is left; links
    are given and not followed.
    """
    for _path, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*names, *folders):
            _give(name, user, descriptor)
    # Last, as the mark that all below is done.
    os.chown(folder, *user, follow_symlinks=False)


def _give(name: str, user: tuple[int, int], parent: int) -> None:
    if os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid == 0:
        os.chown(name, *user, dir_fd=parent, follow_symlinks=False)

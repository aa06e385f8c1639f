"""The server's folder: made where it is missing, and never taken from somebody else; its exchange for another one.

Root makes and renames folders in `/srv` alone, which is root's own; what is inside belongs to the customer.
"""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from zlh_agent.games.errors import GameFolderUnusable
from zlh_agent.games.model import Ids, Restoring
from zlh_agent.sandbox.launch import bare_child

MODE = 0o750
BESIDE = ".zlh-restored"
EXCHANGE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """Where the server's folder is, and whose; None is the agent's own user."""

    path: Path
    user: Ids | None

    @property
    def beside(self) -> Path:
        """Where the folder is made that takes its place."""
        return self.path.with_name(f"{BESIDE}-{self.path.name}")


def ensure_folder(place: FolderPlace) -> None:
    """Have the server's folder there; raise GameFolderUnusable or OSError. Blocks."""
    place.path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_open_parent(place)
    if not os.path.lexists(place.path):
        _make(place, place.path)
    _refuse_strange(place, place.path)


def make_beside(place: FolderPlace) -> None:
    """Have an empty folder beside it, or the one that is there; blocks."""
    _refuse_open_parent(place)
    if not os.path.lexists(place.beside):
        _make(place, place.beside)
    _refuse_strange(place, place.beside)


def _make(place: FolderPlace, path: Path) -> None:
    path.mkdir(mode=0o700)
    if place.user is not None:
        os.chown(path, place.user[0], place.user[1], follow_symlinks=False)
    path.chmod(MODE)


def _refuse_open_parent(place: FolderPlace) -> None:
    """Where we are root, nobody else may rename in the folder above."""
    above = place.path.parent.lstat()
    is_ours = above.st_uid == os.geteuid() and not above.st_mode & 0o022
    if place.user is not None and not is_ours:
        raise GameFolderUnusable(path=str(place.path), reason=f"{place.path.parent} is not the agent's alone")


def _refuse_strange(place: FolderPlace, path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise GameFolderUnusable(path=str(path), reason="it is no folder; move away what stands there")
    if place.user is not None and status.st_uid != place.user[0]:
        raise GameFolderUnusable(path=str(path), reason=f"it belongs to the user with the number {status.st_uid}")


def identify(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder; None where none is there."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def finish_exchange(place: FolderPlace, restoring: Restoring) -> bool:
    """Have the restored folder be the server's; False where it is nowhere to be found. May be repeated; blocks."""
    new = (restoring.device, restoring.inode)
    if identify(place.path) == new:
        return True
    if identify(place.beside) != new:
        return False
    try:
        done = subprocess.run(
            bare_child("zlh_agent.games.exchange_child", "zlh-exchange", str(place.beside), str(place.path)),
            check=False,
            capture_output=True,
            timeout=EXCHANGE_TIMEOUT_S,
            cwd="/",
            env={},
        )
    except subprocess.TimeoutExpired as exc:
        reason = f"its exchange takes more than {EXCHANGE_TIMEOUT_S:.0f} s"
        raise GameFolderUnusable(path=str(place.path), reason=reason) from exc
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise GameFolderUnusable(path=str(place.path), reason=f"it cannot be exchanged ({reason})")
    return identify(place.path) == new


def remove_beside(place: FolderPlace) -> None:
    """Remove the folder beside, which is empty; blocks."""
    if identify(place.beside) is not None:
        place.beside.rmdir()

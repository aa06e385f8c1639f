"""Writes the files of `system_file_rules`: each old or new whenever somebody looks, and none where nothing has changed.

Blocks. Only root can change these folders, so nothing here follows a customer's link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from zlh_agent.shells.model import SystemPlaces, Trouble
from zlh_agent.shells.system_file_rules import (
    render_bash_block,
    render_environment_file,
    render_fish,
    render_manager,
    render_pam_block,
    render_sh,
    render_zsh_block,
    with_block,
)
from zlh_common.durable_files import write_durably

MODE = 0o644
# What people write into such a file by hand; more is read by nobody of ours.
MAX_BYTES = 1024 * 1024
# Without these nothing else leads anywhere.
NEEDED_FILES = ("zlh-environment", "profile.d/zlh.sh")
MANAGER_FILES = ("systemd/system.conf.d/50-zlh.conf", "systemd/user.conf.d/50-zlh.conf")


class NotOurs(OSError):
    """Something stands in the place of a file that cannot be taken for one of the system."""


def ensure_shell_files(places: SystemPlaces, variables: Mapping[str, str]) -> list[Trouble]:
    """Write what shells and sessions read; return what could not be written, the rest is."""
    etc = places.etc
    writes: dict[Path, Callable[[Path], None]] = {
        etc / "zlh-environment": _whole(render_environment_file(variables)),
        etc / "profile.d/zlh.sh": _whole(render_sh()),
        etc / "fish/conf.d/zlh.fish": _whole(render_fish()),
        etc / "bash.bashrc": _block(render_bash_block()),
        # Made before its package is there, it would be taken for a file that its administrator wants to keep.
        etc / "zsh/zshenv": _block(render_zsh_block()),
        etc / "environment": _block(render_pam_block(variables), is_made=True),
    }
    return [trouble for path, write in writes.items() if (trouble := _try(path, write)) is not None]


def is_manager_outdated(places: SystemPlaces, variables: Mapping[str, str]) -> bool:
    """Tell whether systemd's files say something else than they should."""
    wanted = render_manager(variables).encode()
    return any(_read(places.etc / name) != wanted for name in MANAGER_FILES)


def ensure_manager_files(places: SystemPlaces, variables: Mapping[str, str]) -> list[Trouble]:
    """Write what systemd starts services with; it has to be told to read it."""
    write = _whole(render_manager(variables))
    tried = (_try(places.etc / name, write) for name in MANAGER_FILES)
    return [trouble for trouble in tried if trouble is not None]


def read_variables(path: Path) -> str:
    """Return a small file of the system as text; nothing where there is none that can be read."""
    return (_read(path) or b"").decode("utf-8", "surrogateescape")


def _try(path: Path, write: Callable[[Path], None]) -> Trouble | None:
    try:
        write(path)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        text = f"{path} could not be written ({reason}), so some shells find what was there before."
        return Trouble("shells.not_written", str(path), text)
    return None


def _whole(text: str) -> Callable[[Path], None]:
    content = text.encode()

    def write(path: Path) -> None:
        if _read(path) == content:
            _forget_unfinished(path)
            return
        _ensure_folders(path.parent)
        write_durably(path, content, mode=MODE)

    return write


def _block(block: str, *, is_made: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        try:
            status = path.lstat()
        except FileNotFoundError:
            if is_made:
                write_durably(path, with_block("", block).encode(), mode=MODE)
            return
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > MAX_BYTES:
            raise NotOurs(f"it is no file of root with at most {MAX_BYTES} bytes")
        before = path.read_bytes()
        text = before.decode("utf-8", "surrogateescape")
        after = with_block(text, block).encode("utf-8", "surrogateescape")
        if after == before:
            _forget_unfinished(path)
        else:
            write_durably(path, after, mode=stat.S_IMODE(status.st_mode))

    return write


def _forget_unfinished(path: Path) -> None:
    """Take away what a crash has left of a writing that nobody wants any more."""
    with suppress(FileNotFoundError):
        path.with_name(f".{path.name}.new").unlink()


def _read(path: Path) -> bytes | None:
    """Return what a regular file holds, None for anything else and for what nobody of ours has written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(MAX_BYTES + 1)
    return content if len(content) <= MAX_BYTES else None


def _ensure_folders(folder: Path) -> None:
    """Make it for everybody to pass: the agent's own umask would close it."""
    if folder.is_dir():
        return
    _ensure_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)

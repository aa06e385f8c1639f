"""The server's folder as its children see it: every path opened beneath it, and the staging folder that is ours.

Runs in the child, as the owner of all of it, and blocks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from zlh_agent.files.opening import O_PATH, Held, open_below
from zlh_agent.files.refusals import Refused
from zlh_agent.games.errors import GameFileBlocked
from zlh_agent.games.hashing import matches
from zlh_agent.games.model import OWN_FOLDER
from zlh_common.openat2 import NO_SYMLINKS
from zlh_common.schema.template import PinnedFile

_FOLDER = O_PATH | os.O_DIRECTORY
# Without waiting at a pipe or a device that somebody has put there.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class ServerFolder:
    """An open folder. `with ServerFolder(path) as folder`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, _FOLDER | os.O_CLOEXEC | os.O_NOFOLLOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self.fd)

    @contextmanager
    def reading(self, path: str, *, base: int | None = None) -> Iterator[int | None]:
        """Lend a plain file, open to read; None where there is none."""
        try:
            fd = open_below(self.fd if base is None else base, _parts(path), _READ)
        except (OSError, Refused) as exc:
            if isinstance(exc, OSError) and exc.errno not in {*_GONE, errno.ENXIO}:
                raise
            yield None
            return
        with Held(fd):
            yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None

    def holds(self, path: str, expected: str, *, size: int | None = None, base: int | None = None) -> bool:
        """Tell whether a plain file with this hash stands at a path."""
        with self.reading(path, base=base) as fd:
            if fd is None or (size is not None and os.fstat(fd).st_size != size):
                return False
            return matches(fd, expected)

    def open_parent(self, path: str, *, make: bool = False) -> int:
        """Return the open folder that a path is in, made where that is asked for; the caller closes it."""
        parts = _parts(path)[:-1]
        if make:
            for depth in range(1, len(parts) + 1):
                self._ensure_folder(parts[:depth])
        try:
            return open_below(self.fd, parts, _FOLDER)
        except Refused as exc:
            raise GameFileBlocked(path=path) from exc

    def require_place(self, path: str) -> None:
        """Raise GameFileBlocked where a file cannot have this name, whatever stands on the way; nothing is changed."""
        if self.find_kind(path) not in {None, "file", "link"}:
            raise GameFileBlocked(path=path)
        above = _parts(path)[:-1]
        while not self._may_place_in(above):
            above = above[:-1]

    def _may_place_in(self, parts: list[bytes]) -> bool:
        """Tell whether a folder is there to make something in, False where it is still to be made itself."""
        path = b"/".join(parts).decode()
        try:
            with Held(open_below(self.fd, parts, _FOLDER)) as folder:
                may_write = os.access(".", os.W_OK | os.X_OK, dir_fd=folder)
        except FileNotFoundError as exc:
            if self.find_kind(path) is not None:
                # A link to nowhere.
                raise GameFileBlocked(path=path) from exc
            return False
        except (Refused, NotADirectoryError, PermissionError) as exc:
            raise GameFileBlocked(path=path or self.path) from exc
        if not may_write:
            raise GameFileBlocked(path=path or self.path)
        return True

    def _ensure_folder(self, parts: list[bytes]) -> None:
        try:
            with Held(open_below(self.fd, parts[:-1], _FOLDER)) as above, suppress(FileExistsError):
                os.mkdir(parts[-1], 0o755, dir_fd=above)
            os.close(open_below(self.fd, parts, _FOLDER))
        except (Refused, NotADirectoryError) as exc:
            raise GameFileBlocked(path=b"/".join(parts).decode()) from exc

    def find_kind(self, path: str) -> str | None:
        """Return `file`, `folder`, `link` or `other` of what stands at a path; None where nothing does."""
        try:
            parent = open_below(self.fd, _parts(path)[:-1], _FOLDER)
        except (OSError, Refused):
            return None
        with Held(parent):
            try:
                mode = os.stat(_parts(path)[-1], dir_fd=parent, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return None
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
        return kinds.get(stat.S_IFMT(mode), "other")

    # What is ours in it

    @contextmanager
    def staging(self, content: str) -> Iterator[int]:
        """Lend the staging folder of a content, made where there is none; what stands in its place is removed."""
        with Held(self._open_own(self.fd, OWN_FOLDER)) as own, Held(self._open_own(own, content)) as folder:
            yield folder

    def _open_own(self, base: int, name: str) -> int:
        for _ in range(3):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=base)
            try:
                return open_below(base, [name.encode()], _FOLDER, resolve=NO_SYMLINKS)
            except OSError as exc:
                if exc.errno not in {errno.ENOTDIR, errno.ELOOP}:
                    raise
                os.unlink(name, dir_fd=base)
        raise GameFileBlocked(path=OWN_FOLDER)

    def forget_staging(self, *, but: str | None = None) -> None:
        """Remove all that was staged, but for one content."""
        kind = self.find_kind(OWN_FOLDER)
        if kind is None:
            return
        if kind != "folder":
            os.unlink(OWN_FOLDER, dir_fd=self.fd)
            return
        with Held(self._open_own(self.fd, OWN_FOLDER)) as own:
            for name in _names(own):
                if name != but:
                    remove_tree(own, name)
        if but is None:
            with suppress(OSError):
                os.rmdir(OWN_FOLDER, dir_fd=self.fd)

    def remove_all(self) -> None:
        """Remove everything in the folder."""
        for name in _names(self.fd):
            remove_tree(self.fd, name)


def staged_name(file: PinnedFile) -> str:
    """Return the name of a file in the staging folder: two that differ in place or bytes never share one."""
    return hashlib.sha256(f"{file.path}\0{file.hash}".encode()).hexdigest()[:32]


def remove_tree(base: int, name: str) -> None:
    """Remove what stands at a name in an open folder, and all that is in it; no link is followed."""
    try:
        mode = os.stat(name, dir_fd=base, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=base)
        return
    with suppress(FileNotFoundError), Held(open_below(base, [os.fsencode(name)], _FOLDER, resolve=NO_SYMLINKS)) as fd:
        with suppress(PermissionError):
            Path(f"/proc/self/fd/{fd}").chmod(0o700)
        for inner in _names(fd):
            remove_tree(fd, inner)
        os.rmdir(name, dir_fd=base)


def _names(folder: int) -> list[str]:
    with Held(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)) as fd:
        return os.listdir(fd)  # noqa: PTH208 - no pathlib of an open folder


def _parts(path: str) -> list[bytes]:
    return [part for part in path.encode().split(b"/") if part]

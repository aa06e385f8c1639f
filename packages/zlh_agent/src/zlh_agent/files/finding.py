"""The root of file work, opened once and never looked up again by name, and how a place below it is found.

    path ──► split (rules) ──► parent folder, opened beneath the root ──► one call on (descriptor, last name)
                            └► the thing itself, opened beneath the root and looked at by its descriptor

No call takes a path that the kernel would resolve by itself, so a customer who renames folders and links under our
hands changes at most which of their own files below the root is meant.
"""

from __future__ import annotations

import errno
import os

from zlh_agent.files.opening import FOLDER_ITSELF, FOLDER_PATH, has_openat2, open_below
from zlh_agent.files.refusals import (
    IS_THE_ROOT,
    NAME_TOO_LONG,
    PATH_INVALID,
    PATH_NOT_FOUND,
    PATH_OUTSIDE,
    TOO_MANY_LINKS,
    Refused,
)
from zlh_agent.files.rules import MAX_PATH_BYTES, split_path

# As the kernel has it.
_MAX_LINKS = 40


class Finding:
    """The folder below which everything happens; it can be looked into, and neither moved, removed nor changed."""

    def __init__(self, path: str) -> None:
        """Open it; raises OSError where it is no folder, or a link."""
        self._path = path
        self._fd = os.open(path, FOLDER_ITSELF)

    @property
    def is_safe(self) -> bool:
        """Whether the kernel resolves paths for us; without it nothing here may be used."""
        return has_openat2(self._fd)

    def require_current(self) -> None:
        """Raise Refused where another folder has taken its place, or none: work on it would be seen by nobody."""
        try:
            is_current = os.path.samestat(os.fstat(self._fd), os.stat(self._path, follow_symlinks=False))  # noqa: PTH116
        except OSError:
            is_current = False
        if not is_current:
            raise Refused(PATH_NOT_FOUND)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def _parent(self, path: bytes) -> Place:
        parts = split(path)
        if not parts:
            raise Refused(IS_THE_ROOT)
        if parts[-1] == b"..":
            raise Refused(PATH_INVALID)
        return Place(open_below(self._fd, parts[:-1], FOLDER_PATH), parts[-1])

    def _resolve_last(self, path: bytes) -> tuple[int, bytes]:
        """Follow links at the end of a path; return the open folder and the last name in it, which may be free."""
        for _ in range(_MAX_LINKS):
            with self._parent(path) as (folder, name):
                try:
                    target = os.readlink(name, dir_fd=folder)
                except OSError as exc:
                    if exc.errno in {errno.EINVAL, errno.ENOENT}:
                        return os.dup(folder), name
                    raise
            if target.startswith(b"/"):
                raise Refused(PATH_OUTSIDE)
            path = b"/".join([*split(path)[:-1], target])
        raise Refused(TOO_MANY_LINKS)

    def _ensure_folder(self, parts: list[bytes]) -> None:
        """Make the folders that are missing on the way down, the last one included."""
        present = self._count_present(parts)
        if b".." in parts[present:]:
            raise Refused(PATH_NOT_FOUND)
        at = open_below(self._fd, parts[:present], FOLDER_PATH)
        try:
            for part in parts[present:]:
                try:  # noqa: SIM105 - contextlib would cost the child 3 ms
                    os.mkdir(part, dir_fd=at)
                except FileExistsError:
                    pass  # somebody else has just made it
                below = open_below(at, [part], FOLDER_PATH)
                os.close(at)
                at = below
        finally:
            os.close(at)

    def _count_present(self, parts: list[bytes]) -> int:
        """Return how many of the parts lead to a folder that is there."""
        present, missing = 0, len(parts) + 1
        while missing - present > 1:
            middle = (present + missing) // 2
            try:
                os.close(open_below(self._fd, parts[:middle], FOLDER_PATH))
                present = middle
            except FileNotFoundError:
                missing = middle
        return present


class Place:
    """An open folder and a name in it; the folder is closed where the block ends."""

    __slots__ = ("_folder", "_name")

    def __init__(self, folder: int, name: bytes) -> None:
        self._folder = folder
        self._name = name

    def __enter__(self) -> tuple[int, bytes]:
        return self._folder, self._name

    def __exit__(self, *_error: object) -> None:
        os.close(self._folder)


def split(path: bytes) -> list[bytes]:
    """Return the parts of a path; raise Refused where it is none."""
    parts = split_path(path)
    if parts is None:
        raise Refused(NAME_TOO_LONG if len(path) > MAX_PATH_BYTES else PATH_INVALID)
    return parts

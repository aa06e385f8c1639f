"""Everything that can be done to files below one folder: the root, opened once and never looked up again by name.

    path ──► split (rules) ──► parent folder, opened beneath the root ──► one call on (descriptor, last name)
                            └► the thing itself, opened beneath the root and looked at by its descriptor

No call takes a path that the kernel would resolve by itself, so a customer who renames folders and links under our
hands changes at most which of their own files below the root is meant. The last name is never followed where
something is made, moved, removed or changed. Runs in the child, one request after the other, and blocks.

Raises Refused, or OSError that `refusal_of` translates; no descriptor is left open by either.
"""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice

from zlh_agent.files.entries import entry_of, look
from zlh_agent.files.model import EXCHANGE, KEEP, Entry
from zlh_agent.files.opening import O_PATH, Held, has_openat2, open_below
from zlh_agent.files.refusals import (
    FILE_CHANGED,
    INTO_ITSELF,
    IS_A_FOLDER,
    IS_A_LINK,
    IS_THE_ROOT,
    LINK_OUTSIDE,
    MODE_NOT_ALLOWED,
    NAME_TOO_LONG,
    NOT_A_REGULAR_FILE,
    PATH_BUSY,
    PATH_INVALID,
    PATH_NOT_FOUND,
    PATH_OUTSIDE,
    TOO_MANY_LINKS,
    Refused,
)
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.rights import change_mode
from zlh_agent.files.rules import MAX_PAGE_ENTRIES, MAX_PATH_BYTES, leads_inside, split_path
from zlh_agent.files.tree_removal import remove_tree
from zlh_agent.files.unfinished import Unfinished
from zlh_agent.sandbox.syscalls import renameat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What the names and targets of one page may take, with room for the rest of each entry.
MAX_PAGE_BYTES = 128 * 1024
_ENTRY_BYTES = 64
# Names that are read before those that count are sorted out.
_BATCH = 4096
# As the kernel has it.
_MAX_LINKS = 40
_MAX_TRIES = 20
_RENAME_EXCHANGE = 2
_FOLDER = O_PATH | os.O_DIRECTORY
# A pipe is not waited for, and a terminal does not become ours.
_CAREFULLY = os.O_NONBLOCK | os.O_NOCTTY
_COPY_BYTES = 16 * 1024 * 1024
_NO_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


class Root:
    """The folder below which everything happens; it can be looked into, and neither moved, removed nor changed."""

    def __init__(self, path: str) -> None:
        """Open it; raises OSError where it is no folder, or a link."""
        self._path = path
        self._fd = os.open(path, _FOLDER | os.O_NOFOLLOW)

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

    def open_folder(self, path: bytes) -> int:
        """Return a folder that things can be opened and made in; the caller closes it."""
        return open_below(self._fd, _split(path), _FOLDER)

    # ── looking ──

    def stat(self, path: bytes, *, follow: bool = False) -> Entry:
        """Return what is at the path: of a link, the link itself unless it shall be followed."""
        parts = _split(path)
        with Held(open_below(self._fd, parts, O_PATH | (0 if follow else os.O_NOFOLLOW))) as fd:
            entry = look(fd, b"")
            entry.name = os.fsdecode(parts[-1]) if parts else ""
            return entry

    def list_folder(self, path: bytes, *, after: str, limit: int) -> tuple[list[Entry], bool]:
        """Return entries by name in order of their code points, those after `after`, and whether there are more.

        A page ends at `limit` entries, or sooner where they are long. What is made or removed between two pages may
        be missing; nothing is told twice.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | _CAREFULLY
        limit = min(limit, MAX_PAGE_ENTRIES)
        entries: list[Entry] = []
        size = 0
        with Held(open_below(self._fd, _split(path), flags)) as fd:
            names = _first_names(fd, after, limit + 1)
            for name in names[:limit]:
                try:
                    entry = look(fd, os.fsencode(name))
                except FileNotFoundError:
                    continue
                size += _ENTRY_BYTES + len(os.fsencode(name)) + len(os.fsencode(entry.target or ""))
                if size > MAX_PAGE_BYTES and entries:
                    return entries, True
                entries.append(entry)
        return entries, len(names) > limit

    # ── content ──

    def open_to_read(self, path: bytes) -> tuple[int, Entry]:
        """Return a descriptor of a regular file, and what it was when it was opened. Links are followed."""
        parts = _split(path)
        fd = open_below(self._fd, parts, os.O_RDONLY | _CAREFULLY)
        try:
            status = _require_regular(fd)
            os.set_blocking(fd, True)
            return fd, entry_of(parts[-1] if parts else b"", status)
        except BaseException:
            os.close(fd)
            raise

    def open_to_append(self, path: bytes, *, offset: int) -> int:
        """Return a descriptor of a regular file that is cut to `offset` and stands there; at 0 it is made if need be.

        For uploads that go on. The last name is not followed. Raises Refused(FILE_CHANGED) where it is shorter.
        """
        make = os.O_CREAT if offset == 0 else 0
        flags = os.O_WRONLY | os.O_NOFOLLOW | _CAREFULLY | make
        with self._parent(path) as (folder, name):
            try:
                fd = open_below(folder, [name], flags, mode=0o666 if make else 0)
            except OSError as exc:
                raise Refused(IS_A_LINK) if exc.errno == errno.ELOOP else exc from exc
        try:
            _require_regular(fd, size=offset)
            os.ftruncate(fd, offset)
            os.lseek(fd, offset, os.SEEK_SET)
            os.set_blocking(fd, True)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def begin_file(self, path: bytes, *, replace: bool, expected: str | None = None) -> Unfinished:
        """Return a new file without a name, which gets this one, whole, by its `finish`.

        It replaces what a link leads to, not the link. With `expected`, only that version is replaced; without
        `replace`, nothing is. It has the rights of what it replaces.
        """
        folder, name = self._resolve_last(path)
        try:
            return Unfinished(folder, name, replace=replace, expected=expected)
        except BaseException:
            os.close(folder)
            raise

    def copy(self, source: bytes, target: bytes, *, replace: bool, note: Callable[[], None]) -> None:
        """Copy a regular file's content and rights, by reference where the disk can; holes stay holes."""
        fd, entry = self.open_to_read(source)
        with Held(fd):
            unfinished = self.begin_file(target, replace=replace)
            try:
                os.fchmod(unfinished.fd, entry.mode & 0o777)
                _copy_content(fd, unfinished.fd, note)
                unfinished.finish()
            finally:
                unfinished.close()

    # ── names ──

    def make_folder(self, path: bytes, *, parents: bool) -> None:
        """Make a folder; with `parents` also those above it, and one that is there is as good."""
        parts = _split(path)
        if not parts:
            raise Refused(IS_THE_ROOT)
        if not parents:
            with self._parent(path) as (folder, name):
                os.mkdir(name, dir_fd=folder)
            return
        present = self._count_present(parts)
        if b".." in parts[present:]:
            raise Refused(PATH_NOT_FOUND)
        at = open_below(self._fd, parts[:present], _FOLDER)
        try:
            for part in parts[present:]:
                try:  # noqa: SIM105 - contextlib would cost the child 3 ms
                    os.mkdir(part, dir_fd=at)
                except FileExistsError:
                    pass  # somebody else has just made it
                below = open_below(at, [part], _FOLDER)
                os.close(at)
                at = below
        finally:
            os.close(at)

    def move(self, source: bytes, target: bytes, *, how: int) -> None:
        """Give something another name, in another folder or the same. `how` is KEEP, REPLACE or EXCHANGE."""
        with self._parent(source) as (old_folder, old), self._parent(target) as (new_folder, new):
            try:
                if how == KEEP:
                    rename_to_free(old_folder, old, new_folder, new)
                else:
                    renameat2(old_folder, old, new_folder, new, _RENAME_EXCHANGE if how == EXCHANGE else 0)
            except OSError as exc:
                raise Refused(INTO_ITSELF) if exc.errno == errno.EINVAL else exc from exc

    def make_link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link to a target that is relative and does not lead out."""
        if not leads_inside(_split(path)[:-1], target):
            raise Refused(LINK_OUTSIDE)
        with self._parent(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def remove(self, path: bytes) -> None:
        """Remove a file, a link, or a folder that is empty."""
        with self._parent(path) as (folder, name):
            for _ in range(_MAX_TRIES):
                is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
                try:
                    (os.rmdir if is_folder else os.unlink)(name, dir_fd=folder)
                except (IsADirectoryError, NotADirectoryError):
                    continue  # it has become the other since we looked
                else:
                    return
            raise Refused(PATH_BUSY)

    def remove_tree(self, path: bytes, *, note: Callable[[], None]) -> None:
        """Remove something with all that is in it, however deep; `note` is called now and then."""
        with self._parent(path) as (folder, name):
            remove_tree(folder, name, note)

    # ── properties ──

    def change_mode(self, path: bytes, mode: int) -> None:
        """Set the rights; a link has none, and set-uid and set-gid are refused."""
        if mode & ~0o1777:
            raise Refused(MODE_NOT_ALLOWED)
        with self._parent(path) as (folder, name), Held(open_below(folder, [name], O_PATH | os.O_NOFOLLOW)) as fd:
            change_mode(fd, mode)

    def set_times(self, path: bytes, *, modified_ns: int) -> None:
        """Set when it was last modified; of a link, the link's own time."""
        with self._parent(path) as (folder, name):
            os.utime(name, ns=(modified_ns, modified_ns), dir_fd=folder, follow_symlinks=False)

    # ── finding the place ──

    def _parent(self, path: bytes) -> _Place:
        parts = _split(path)
        if not parts:
            raise Refused(IS_THE_ROOT)
        if parts[-1] == b"..":
            raise Refused(PATH_INVALID)
        return _Place(open_below(self._fd, parts[:-1], _FOLDER), parts[-1])

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
            path = b"/".join([*_split(path)[:-1], target])
        raise Refused(TOO_MANY_LINKS)

    def _count_present(self, parts: list[bytes]) -> int:
        """Return how many of the parts lead to a folder that is there."""
        present, missing = 0, len(parts) + 1
        while missing - present > 1:
            middle = (present + missing) // 2
            try:
                os.close(open_below(self._fd, parts[:middle], _FOLDER))
                present = middle
            except FileNotFoundError:
                missing = middle
        return present


class _Place:
    """An open folder and a name in it; the folder is closed where the block ends."""

    __slots__ = ("_folder", "_name")

    def __init__(self, folder: int, name: bytes) -> None:
        self._folder = folder
        self._name = name

    def __enter__(self) -> tuple[int, bytes]:
        return self._folder, self._name

    def __exit__(self, *_error: object) -> None:
        os.close(self._folder)


def _split(path: bytes) -> list[bytes]:
    parts = split_path(path)
    if parts is None:
        raise Refused(NAME_TOO_LONG if len(path) > MAX_PATH_BYTES else PATH_INVALID)
    return parts


def _first_names(folder: int, after: str, count: int) -> list[str]:
    """Return the first names after one, sorted, without ever holding all of them: there may be millions."""
    first: list[str] = []
    with os.scandir(folder) as entries:
        while batch := [entry.name for entry in islice(entries, _BATCH)]:
            if len(first) < count:
                found = [name for name in batch if name > after]
            else:
                last = first[-1]
                found = [name for name in batch if after < name < last]
            if found:
                first = sorted(first + found)[:count]
    return first


def _require_regular(fd: int, *, size: int = 0) -> os.stat_result:
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise Refused(IS_A_FOLDER)
    if not stat.S_ISREG(status.st_mode):
        raise Refused(NOT_A_REGULAR_FILE)
    if status.st_size < size:
        raise Refused(FILE_CHANGED)
    return status


def _copy_content(source: int, target: int, note: Callable[[], None]) -> None:
    """Copy what is data; the length is that of the source when it was last looked at."""
    size = os.fstat(source).st_size
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        while at < end:
            done = _copy_range(source, target, at, min(end - at, _COPY_BYTES))
            if done == 0:
                return  # it was cut while we read
            at += done
            note()
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, at: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count, at, at)
    except OSError as exc:
        if exc.errno not in _NO_COPY_RANGE:
            raise
    data = os.pread(source, min(count, 1024 * 1024), at)
    return os.pwrite(target, data, at)

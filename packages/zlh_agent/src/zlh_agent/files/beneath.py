"""Everything that can be done to files below one folder.

The last name of a path is never followed where something is made, moved, removed or changed. Runs in the child, one
request after the other, and blocks. Raises Refused, or OSError that `refusal_of` translates; no descriptor is left open
by either.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.entries import look
from zlh_agent.files.finding import split
from zlh_agent.files.listing import list_page
from zlh_agent.files.model import EXCHANGE, KEEP
from zlh_agent.files.opening import FOLDER_FLAGS, O_PATH, Held, open_below
from zlh_agent.files.page_rules import Order
from zlh_agent.files.partials import Partials
from zlh_agent.files.refusals import (
    INTO_ITSELF,
    IS_THE_ROOT,
    LINK_OUTSIDE,
    MODE_NOT_ALLOWED,
    OF_OTHER,
    PATH_BUSY,
    Refused,
    refusal_of,
    told_of_other,
)
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.rights import change_mode
from zlh_agent.files.rules import MAX_PAGE_ENTRIES, leads_inside
from zlh_agent.files.trees import Trees
from zlh_agent.sandbox.syscalls import renameat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.model import Entry
    from zlh_agent.files.page_rules import Place

_MAX_TRIES = 20
_RENAME_EXCHANGE = 2
_BY_NAME = Order()
# What is of a target, provided that there is something to be moved.
_OF_TARGET = {
    errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.EBUSY
}  # fmt: skip


class Root(Trees, Partials):
    """The folder that a child works in."""

    def open_folder(self, path: bytes) -> int:
        """Return a folder that things can be opened and made in; the caller closes it."""
        return open_below(self._fd, split(path), O_PATH | os.O_DIRECTORY)

    # ── looking ──

    def stat(self, path: bytes, *, follow: bool = False) -> Entry:
        """Return what is at the path: of a link, the link itself unless it shall be followed."""
        parts = split(path)
        with Held(open_below(self._fd, parts, O_PATH | (0 if follow else os.O_NOFOLLOW))) as fd:
            entry = look(fd, b"")
            entry.name = os.fsdecode(parts[-1]) if parts else ""
            return entry

    def list_folder(
        self, path: bytes, *, order: Order = _BY_NAME, after: Place | None = None, limit: int
    ) -> tuple[list[Entry], bool]:
        """Return entries in an order, those after a place in it, and whether there are more; see `list_page`."""
        flags = FOLDER_FLAGS & ~os.O_NOFOLLOW
        with Held(open_below(self._fd, split(path), flags)) as fd:
            return list_page(fd, order, after, min(limit, MAX_PAGE_ENTRIES))

    def room(self) -> tuple[int, int, int, int | None]:
        """Return the bytes of the disk, those that are free to its customer, and the same of files.

        A disk that makes room for files as it goes has 0 files, and None are free.
        """
        told = os.fstatvfs(self._fd)
        files = (told.f_files, told.f_favail) if told.f_files else (0, None)
        return told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize, *files

    # ── names ──

    def make_folder(self, path: bytes, *, parents: bool) -> None:
        """Make a folder; with `parents` also those above it, and one that is there is as good."""
        parts = split(path)
        if not parts:
            raise Refused(IS_THE_ROOT)
        if parents:
            self._ensure_folder(parts)
            return
        with self._parent(path) as (folder, name):
            os.mkdir(name, dir_fd=folder)

    def move(self, source: bytes, target: bytes, *, how: int) -> None:
        """Give something another name, in another folder or the same. `how` is KEEP, REPLACE or EXCHANGE."""
        with self._parent(source) as (old_folder, old):
            with OF_OTHER:
                place = self._parent(target)
            with place as (new_folder, new):
                try:
                    if how == KEEP:
                        rename_to_free(old_folder, old, new_folder, new)
                    else:
                        renameat2(old_folder, old, new_folder, new, _RENAME_EXCHANGE if how == EXCHANGE else 0)
                except OSError as exc:
                    raise _why_not_moved(exc, old_folder, old, new_folder) from exc

    def make_link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link to a target that is relative and does not lead out."""
        if not leads_inside(split(path)[:-1], target):
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


def _why_not_moved(error: OSError, folder: int, name: bytes, target_folder: int) -> Refused:
    """Return why something did not get another name: its own fault, or that of where it was to go."""
    if error.errno == errno.EINVAL:
        return Refused(INTO_ITSELF)
    refused = refusal_of(error)
    if error.errno == errno.EACCES:
        is_of_target = _is_open(folder) and not _is_open(target_folder)
    else:
        is_of_target = error.errno in _OF_TARGET and _is_there(folder, name)
    return told_of_other(refused) if is_of_target else refused


def _is_open(folder: int) -> bool:
    """Tell whether names may be made and removed in an open folder."""
    return os.access(b".", os.W_OK | os.X_OK, dir_fd=folder)


def _is_there(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True

"""Writes the entries of an archive into a folder of ours, and through nothing that is in it.

Each parent is opened beneath that folder with no link followed, each file is made anew, and links are made when all
files are there: until then a file with the sticky bit, which no entry keeps, holds the target of each.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib

from zlh_agent.archives.rules import (
    CONTRADICTION,
    LINK,
    MAX_ENTRIES,
    RESERVE_FILES,
    TOO_MANY,
    UNSAFE,
    is_link_inside,
    reserve_of,
    split_entry,
)
from zlh_agent.files.model import FILE, FOLDER
from zlh_agent.files.model import LINK as LINK_KIND
from zlh_agent.files.opening import FILE_FLAGS, FOLDER_FLAGS, FOLDER_ITSELF, INSIDE, Held, open_below
from zlh_agent.files.refusals import DISK_FULL, NOT_A_REGULAR_FILE, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zlh_agent.archives.model import Item
    from zlh_agent.archives.telling import Tally

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_PLACEHOLDER = stat.S_ISVTX | 0o600
_CHECK_BYTES, _CHECK_ENTRIES = 16 * 1024 * 1024, 500
_LAST_S = 2**33


class Spool:
    """Lines that are kept packed until they are wanted, in the order in which they came."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(1)
        self._pieces: list[bytes] = []

    def add(self, *fields: bytes) -> None:
        """Keep one line; no field has a zero byte in it."""
        self._pieces.append(self._packer.compress(b"\0".join(fields) + b"\0\0"))
        if len(self._pieces) > 1000:
            self._pieces = [b"".join(self._pieces)]

    def read(self) -> Iterator[list[bytes]]:
        """Yield the lines; none is added afterwards."""
        self._pieces.append(self._packer.flush())
        unpacker = zlib.decompressobj()
        rest = b""
        for piece in self._pieces:
            for at in range(0, len(piece), 4096):
                *lines, rest = (rest + unpacker.decompress(piece[at : at + 4096])).split(b"\0\0")
                for line in lines:
                    yield line.split(b"\0")


class Staging:
    """The tree so far, below an open folder."""

    def __init__(self, base: int, tally: Tally) -> None:
        self._base = base
        self._tally = tally
        self._count = 0
        self._links = Spool()
        self._folders = Spool()
        self._parent: tuple[bytes, int] | None = None
        self._until_check = 0
        self.require_room(0)

    def close(self) -> None:
        """Let go of what is open."""
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def require_room(self, wanted: int) -> None:
        """Raise Refused where the disk has not so many bytes left, beside what stays free."""
        room = os.fstatvfs(self._base)
        free = room.f_bavail * room.f_frsize - reserve_of(room.f_blocks * room.f_frsize)
        if wanted > free or free <= 0 or (room.f_files and room.f_favail < min(RESERVE_FILES, room.f_files // 20)):
            raise Refused(DISK_FULL)
        # A disk that is nearly full is looked at before what stays free is used up.
        self._until_check = min(_CHECK_BYTES, free)

    def add(self, item: Item, content: Iterator[memoryview]) -> None:
        """Add an entry; what had its name before, and is no folder, gives way. Raises Refused."""
        self._count += 1
        if self._count > MAX_ENTRIES:
            raise Refused(TOO_MANY)
        if self._count % _CHECK_ENTRIES == 0:
            self.require_room(0)
            self._tally.require_time()
        self._tally.note()
        parts = split_entry(item.name)
        if parts is None or (not parts and item.kind != FOLDER):
            raise Refused(UNSAFE, item.name)
        if item.kind == FOLDER:
            self._add_folder(parts, item)
        elif item.is_hard:
            self._add_hard(parts, item)
        elif item.kind == LINK_KIND:
            self._add_link(parts, item.target)
        elif item.kind == FILE:
            self._add_file(parts, item, content)
        else:
            self._tally.skip(NOT_A_REGULAR_FILE, item.name)

    def finish(self) -> None:
        """Make the links, and give folders their rights and times; the tree is whole then."""
        for (path,) in self._links.read():
            self._tally.note()
            self._make_link(path.split(b"/"))
        self.close()
        for path, mode, modified in self._folders.read():
            self._tally.note()
            with Held(open_below(self._base, path.split(b"/"), FOLDER_FLAGS, resolve=INSIDE)) as fd:
                # Open to its owner: what is in it is still to be moved.
                os.fchmod(fd, int(mode) | 0o700)
                os.utime(fd, (int(modified), int(modified)))

    def _add_folder(self, parts: list[bytes], item: Item) -> None:
        if parts:
            self._open_parent([*parts, b""])
            self._folders.add(b"/".join(parts), b"%d" % item.mode, b"%d" % _time(item))

    def _add_file(self, parts: list[bytes], item: Item, content: Iterator[memoryview]) -> None:
        folder = self._open_parent(parts)
        with Held(self._make_new(folder, parts, 0o600)) as fd:
            for piece in content:
                self._write(fd, piece)
            os.fchmod(fd, item.mode & 0o777)
            os.utime(fd, (_time(item), _time(item)))
        self._tally.amount.files += 1

    def _write(self, fd: int, piece: memoryview) -> None:
        self._until_check -= len(piece)
        if self._until_check < 0:
            self.require_room(0)
            self._tally.require_time()
        self._tally.amount.byte_count += len(piece)
        self._tally.note()
        while piece:
            piece = piece[os.write(fd, piece) :]

    def _add_link(self, parts: list[bytes], target: bytes) -> None:
        if not is_link_inside(parts, target):
            raise Refused(LINK, b"/".join(parts))
        folder = self._open_parent(parts)
        with Held(self._make_new(folder, parts, _PLACEHOLDER)) as fd:
            os.fchmod(fd, _PLACEHOLDER)
            os.write(fd, target)
        self._links.add(b"/".join(parts))
        self._tally.amount.files += 1

    def _add_hard(self, parts: list[bytes], item: Item) -> None:
        """Give a file of the archive a second name; a link is made a second time."""
        first = split_entry(item.target)
        if not first or first == parts:
            raise Refused(LINK, item.name)
        try:
            with Held(open_below(self._base, first[:-1], FOLDER_ITSELF, resolve=INSIDE)) as held:
                target = _planned_target(held, first[-1])
                if target is not None:
                    self._add_link(parts, target)
                    return
                if not stat.S_ISREG(os.stat(first[-1], dir_fd=held, follow_symlinks=False).st_mode):
                    raise Refused(LINK, item.name)
                folder = self._open_parent(parts)
                self._clear(folder, parts)
                os.link(first[-1], parts[-1], src_dir_fd=held, dst_dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise Refused(LINK, item.name) from exc
        self._tally.amount.files += 1

    def _make_link(self, parts: Sequence[bytes]) -> None:
        """Put a link where it still has its place: the entry that came last may be something else."""
        folder = self._open_parent(parts)
        target = _planned_target(folder, parts[-1])
        if target is not None and is_link_inside(parts, target):
            os.unlink(parts[-1], dir_fd=folder)
            os.symlink(target, parts[-1], dir_fd=folder)

    def _make_new(self, folder: int, parts: Sequence[bytes], mode: int) -> int:
        try:
            return open_below(folder, [parts[-1]], _NEW, mode=mode)
        except FileExistsError:
            self._clear(folder, parts)
            return open_below(folder, [parts[-1]], _NEW, mode=mode)

    def _clear(self, folder: int, parts: Sequence[bytes]) -> None:
        """Remove an entry of the same name that came before."""
        try:
            os.unlink(parts[-1], dir_fd=folder)
        except IsADirectoryError as exc:
            raise Refused(CONTRADICTION, b"/".join(parts)) from exc
        except FileNotFoundError:
            pass

    def _open_parent(self, parts: Sequence[bytes]) -> int:
        """Return the open folder that a name goes into, made where it is not there; it is closed by the next call."""
        path = b"/".join(parts[:-1])
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        self.close()
        try:
            fd = open_below(self._base, parts[:-1], FOLDER_ITSELF, resolve=INSIDE)
        except FileNotFoundError:
            fd = self._make_folders(parts[:-1])
        except NotADirectoryError as exc:
            raise Refused(CONTRADICTION, path) from exc
        self._parent = (path, fd)
        return fd

    def _make_folders(self, parts: Sequence[bytes]) -> int:
        at = open_below(self._base, [], FOLDER_ITSELF)
        try:
            for part in parts:
                try:
                    os.mkdir(part, 0o755, dir_fd=at)
                    self._tally.amount.folders += 1
                except FileExistsError:
                    pass
                below = open_below(at, [part], FOLDER_ITSELF, resolve=INSIDE)
                os.close(at)
                at = below
        except NotADirectoryError as exc:
            os.close(at)
            raise Refused(CONTRADICTION, b"/".join(parts)) from exc
        except BaseException:
            os.close(at)
            raise
        return at


def _planned_target(folder: int, name: bytes) -> bytes | None:
    """Return where the link leads that this file keeps the place of; None where it is no such file."""
    try:
        fd = open_below(folder, [name], os.O_RDONLY | FILE_FLAGS, resolve=INSIDE)
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.ENXIO}:
            return None
        raise
    with Held(fd):
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_ISVTX:
            return None
        return os.read(fd, 4096)


def _time(item: Item) -> int:
    return max(0, min(item.modified_s, _LAST_S))

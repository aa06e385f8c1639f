"""Makes an archive of a customer's tree, in one go and in the same order each time, without following any link.

    folder ──► names, sorted ──► look ──► open beneath, never through a link ──► header ──► content, cut or filled up
                                                                                             to the size announced

What changes while it is read gives an archive that is whole all the same; it is told, as is what was left out.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib

import zstandard

from zlh_agent.archives import tar_header_wire as tar
from zlh_agent.archives import zip_header_wire as zip_wire
from zlh_agent.archives.model import Item
from zlh_agent.archives.rules import TAR_GZ, TAR_ZST, ZIP, is_ours, split_entry
from zlh_agent.files.model import FILE, FOLDER, LINK
from zlh_agent.files.opening import FILE_FLAGS, FOLDER_FLAGS, FOLDER_ITSELF, FOLDER_PATH, INSIDE, Held, open_below
from zlh_agent.files.refusals import (
    FILE_CHANGED,
    NAME_TOO_LONG,
    NOT_A_REGULAR_FILE,
    PATH_BUSY,
    PATH_INVALID,
    Refused,
)
from zlh_agent.files.rules import MAX_NAME_BYTES
from zlh_agent.files.walk import code_of
from zlh_common.openat2 import NO_XDEV
from zlh_common.tar_fields import BLOCK_BYTES as TAR_BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from zlh_agent.archives.telling import Tally

BLOCK_BYTES = 256 * 1024
# Fast ones: the disk and the line are slower than what is gained.
DEFLATE_LEVEL, ZSTD_LEVEL = 1, 3
# Of the archive itself, not of a file in it.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class TarSink:
    """Writes a tar through a compressor."""

    def __init__(
        self, write: Callable[[bytes], None], pack: Callable[[bytes], bytes], flush: Callable[[], bytes]
    ) -> None:
        self._write = write
        self._pack = pack
        self._flush = flush

    def add(self, item: Item, content: Iterator[bytes]) -> None:
        """Write an entry; the content has the size that it announces."""
        self._write(self._pack(tar.render_headers(item)))
        for block in content:
            self._write(self._pack(block))
        self._write(self._pack(bytes(-item.size % TAR_BLOCK_BYTES)))

    def finish(self) -> None:
        """Write the end."""
        self._write(self._pack(tar.END))
        self._write(self._flush())


class ZipSink:
    """Writes a zip without going back; its directory is kept packed until the end."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write_on = write
        self._at = 0
        self._count = 0
        self._directory_bytes = 0
        self._packer = zlib.compressobj(DEFLATE_LEVEL)
        self._directory: list[bytes] = []

    def add(self, item: Item, content: Iterator[bytes]) -> None:
        """Write an entry; the content has the size that it announces."""
        written = zip_wire.Written(self._at, 0, 0, 0)
        if zip_wire.is_streamed(item):
            self._write(zip_wire.render_local(item, written))
            self._deflate(content, written)
            self._write(zip_wire.render_descriptor(item, written))
        else:
            written.size = written.packed = len(item.target)
            written.crc = zlib.crc32(item.target)
            self._write(zip_wire.render_local(item, written) + item.target)
        row = zip_wire.render_central(item, written)
        self._directory.append(self._packer.compress(row))
        self._directory_bytes += len(row)
        self._count += 1

    def finish(self) -> None:
        """Write the directory and the end."""
        offset = self._at
        self._directory.append(self._packer.flush())
        unpacker = zlib.decompressobj()
        for piece in self._directory:
            self._write(unpacker.decompress(piece))
        self._write(zip_wire.render_end(self._count, self._directory_bytes, offset))

    def _deflate(self, content: Iterator[bytes], written: zip_wire.Written) -> None:
        began = self._at
        packer = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -15)
        for block in content:
            written.crc = zlib.crc32(block, written.crc)
            written.size += len(block)
            self._write(packer.compress(block))
        self._write(packer.flush())
        written.packed = self._at - began

    def _write(self, data: bytes) -> None:
        if data:
            self._at += len(data)
            self._write_on(data)


def make_sink(form: str, write: Callable[[bytes], None]) -> TarSink | ZipSink:
    """Return what writes an archive of this format."""
    if form == ZIP:
        return ZipSink(write)
    if form == TAR_GZ:
        packer = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, 31)
        return TarSink(write, packer.compress, packer.flush)
    if form == TAR_ZST:
        stream = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
        return TarSink(write, stream.compress, stream.flush)
    raise Refused(PATH_INVALID)


class Packer:
    """Puts trees below an open folder into a sink.

    Not packed are `but`, which is (device, inode) of the archive itself, and the paths `without`.
    """

    def __init__(
        self,
        base: int,
        sink: TarSink | ZipSink,
        tally: Tally,
        *,
        but: tuple[int, int] | None,
        without: Collection[bytes] = (),
    ) -> None:
        self._base = base
        self._sink = sink
        self._tally = tally
        self._but = but
        self._without = without

    def add_tree(self, parts: Sequence[bytes], shared: int) -> None:
        """Add what is at this place with all that is in it; its name begins after `shared` parts.

        What has to be there and is not, or cannot be read, is refused by its path; where the archive cannot be written
        the error is that of `write`.
        """
        try:
            self._add_top(parts, shared)
        except _Broken as exc:
            raise exc.cause from exc
        except (OSError, Refused) as exc:
            raise Refused(code_of(exc), b"/".join(parts)) from exc

    def _add_top(self, parts: Sequence[bytes], shared: int) -> None:
        if not parts:
            self._add_below([], shared)
            return
        with Held(open_below(self._base, parts[:-1], FOLDER_PATH)) as folder:
            is_folder = self._add(folder, list(parts), shared, must=True)
        if is_folder:
            self._add_below(list(parts), shared)

    def _add_below(self, top: list[bytes], shared: int) -> None:
        # Of each folder that is being gone through: its parts, and the names in it that are still to come.
        waiting = [(top, self._names(top, shared))]
        while waiting:
            parts, names = waiting[-1]
            below = self._add_some(parts, names, shared)
            if below is None:
                waiting.pop()
            else:
                waiting.append((below, self._names(below, shared)))

    def _add_some(self, parts: list[bytes], names: list[bytes], shared: int) -> list[bytes] | None:
        """Add what is in a folder up to the next folder in it; return that, or None at the end."""
        if not names:
            return None
        try:
            fd = open_below(self._base, parts, FOLDER_PATH, resolve=NO_XDEV)
        except (OSError, Refused) as exc:
            self._skip(exc, parts)
            return None
        with Held(fd) as folder:
            while names:
                below = [*parts, names.pop()]
                if self._add(folder, below, shared):
                    return below
        return None

    def _names(self, parts: list[bytes], shared: int) -> list[bytes]:
        """Return the names in a folder, the first one last; none, and a word, where it cannot be read."""
        try:
            with Held(open_below(self._base, parts, FOLDER_FLAGS, resolve=NO_XDEV)) as fd:
                names = [os.fsencode(name) for name in os.listdir(fd)]  # noqa: PTH208 - no pathlib here
        except (OSError, Refused) as exc:
            if len(parts) == shared:
                raise
            self._skip(exc, parts)
            return []
        names.sort(reverse=True)
        return names

    def _add(self, folder: int, parts: list[bytes], shared: int, *, must: bool = False) -> bool:
        """Add one name; True where it is a folder. `must` it be there, its absence is refused."""
        name = b"/".join(parts[shared:])
        self._tally.note()
        if self._without and b"/".join(parts) in self._without:
            return False
        try:
            _require_name(name, parts)
            return self._add_found(folder, parts, name, must=must)
        except (OSError, Refused) as exc:
            if must or (isinstance(exc, OSError) and exc.errno in _FATAL) or isinstance(exc, _Broken):
                raise
            self._skip(exc, parts)
            return False

    def _add_found(self, folder: int, parts: list[bytes], name: bytes, *, must: bool) -> bool:
        status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if (status.st_dev, status.st_ino) == self._but or (stat.S_ISREG(status.st_mode) and is_ours(parts[-1])):
            return False
        item = Item(name, mode=stat.S_IMODE(status.st_mode), modified_s=status.st_mtime_ns // 10**9)
        if stat.S_ISDIR(status.st_mode):
            item.kind = FOLDER
            # Another file system that is mounted here is not entered, nor named; what was asked for must be readable.
            flags = FOLDER_FLAGS if must else FOLDER_ITSELF
            os.close(open_below(folder, [parts[-1]], flags, resolve=INSIDE))
            self._write(item, iter(()))
            self._tally.amount.folders += 1
            return True
        if stat.S_ISLNK(status.st_mode):
            item.kind, item.target = LINK, os.readlink(parts[-1], dir_fd=folder)
            self._write(item, iter(()))
            self._tally.amount.files += 1
        elif stat.S_ISREG(status.st_mode):
            self._add_file(folder, parts, item)
        else:
            raise Refused(NOT_A_REGULAR_FILE)
        return False

    def _add_file(self, folder: int, parts: list[bytes], item: Item) -> None:
        with Held(open_below(folder, [parts[-1]], os.O_RDONLY | FILE_FLAGS, resolve=INSIDE)) as fd:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(PATH_BUSY)
            item.kind, item.size, item.mode = FILE, status.st_size, stat.S_IMODE(status.st_mode)
            item.modified_s = status.st_mtime_ns // 10**9
            self._write(item, self._content(fd, item.size, parts))
            after = os.fstat(fd)
            if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
                self._tally.skip(FILE_CHANGED, b"/".join(parts))
        self._tally.amount.files += 1

    def _write(self, item: Item, content: Iterator[bytes]) -> None:
        try:
            self._sink.add(item, content)
        except (OSError, Refused) as exc:
            # Half an entry is in the archive by now.
            raise _Broken(exc) from exc

    def _content(self, fd: int, size: int, parts: list[bytes]) -> Iterator[bytes]:
        """Yield as many bytes as were announced, zeros where the file does not have them."""
        left = size
        while left:
            try:
                block = os.read(fd, min(left, BLOCK_BYTES))
            except OSError as exc:
                self._skip(exc, parts)
                block = b""
            if not block:
                break
            left -= len(block)
            self._tally.amount.byte_count += len(block)
            self._tally.note()
            yield block
        while left:
            fill = min(left, BLOCK_BYTES)
            left -= fill
            self._tally.note()
            yield bytes(fill)

    def _skip(self, exc: OSError | Refused, parts: list[bytes]) -> None:
        self._tally.skip(code_of(exc), b"/".join(parts))


class _Broken(Refused):
    """The archive itself cannot be written on."""

    def __init__(self, cause: OSError | Refused) -> None:
        super().__init__(PATH_BUSY)
        self.cause = cause


def _require_name(name: bytes, parts: Sequence[bytes]) -> None:
    """Raise Refused where no archive of ours has an entry of this name."""
    if split_entry(name) is None:
        is_too_long = len(name) > 4000 or len(parts) > 200 or any(len(part) > MAX_NAME_BYTES for part in parts)
        raise Refused(NAME_TOO_LONG if is_too_long else PATH_INVALID)

"""Reads zips by the directory at their end, which alone says what is in them; no two entries share a byte."""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - looked up by name later, when no file of ours can be opened any more
import heapq
import os
import struct
import zlib
from array import array

from zlh_agent.archives.model import Item
from zlh_agent.archives.rules import DAMAGED, ENCRYPTED, MAX_ENTRIES, METHOD, OVERLAP, SPLIT, TOO_MANY
from zlh_agent.files.model import FILE, FOLDER, LINK, OTHER
from zlh_agent.files.refusals import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 256 * 1024
_END, _END_64, _LOCATOR = struct.Struct("<IHHHHIIH"), struct.Struct("<IQHHIIQQQQ"), struct.Struct("<IIQI")
_LOCAL, _CENTRAL = struct.Struct("<IHHHIIIIHH"), struct.Struct("<IHHHHIIIIHHHHHII")
_MAX_COMMENT_BYTES, _MAX_LINK_BYTES = 65535, 4095
_ENCRYPTED, _UTF8 = 0x2041, 0x800
_UNIX_HOSTS = {3, 19}
_RUN = 50_000


class _Row:
    """One row of the directory."""

    __slots__ = ("crc", "item", "length", "method", "offset", "packed")

    def __init__(self, item: Item, *, method: int, crc: int, packed: int, offset: int, length: int) -> None:
        self.item = item
        self.method = method
        self.crc = crc
        self.packed = packed
        self.offset = offset
        self.length = length


class ZipReader:
    """An open zip; every look at it is a read at a place of its own, so nothing is held."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._size = os.fstat(source).st_size
        # `prefix` is what stands before the archive itself, as in one that unpacks itself.
        self._count, self._directory, self._length, self._prefix = self._find_directory()
        if self._count > MAX_ENTRIES:
            raise Refused(TOO_MANY)

    def check(self) -> int:
        """Return how many bytes it says that it unpacks to; raise Refused where two entries overlap."""
        starts, ends = array("Q"), array("Q")
        total = 0
        for row in self._rows():
            data = self._data_offset(row)
            starts.append(row.offset)
            ends.append(data + row.packed)
            total += row.item.size
        runs = [
            array("L", sorted(range(at, min(at + _RUN, len(starts))), key=starts.__getitem__))
            for at in range(0, len(starts), _RUN)
        ]
        last = 0
        for index in heapq.merge(*runs, key=starts.__getitem__):
            if starts[index] < last:
                raise Refused(OVERLAP, b"%d" % starts[index])
            last = ends[index]
        if last > self._directory:
            raise Refused(OVERLAP, b"%d" % last)
        return total

    def read(self) -> Iterator[tuple[Item, Iterator[memoryview]]]:
        """Yield each entry and its content, in the order of the directory; raise Refused."""
        for row in self._rows():
            item = row.item
            if item.kind == LINK:
                if item.size > _MAX_LINK_BYTES:
                    raise Refused(DAMAGED, item.name)
                item.target = b"".join(self._content(row))
                item.size = 0
                yield item, iter(())
            else:
                yield item, self._content(row) if item.kind == FILE else iter(())

    def _content(self, row: _Row) -> Iterator[memoryview]:
        """Yield the content; it has the size and the sum that the directory says, or Refused is raised."""
        crc = size = 0
        at = self._data_offset(row)
        for block in self._stored(at, row.packed) if row.method == 0 else self._inflated(at, row):
            crc = zlib.crc32(block, crc)
            size += len(block)
            if size > row.item.size:
                break
            yield memoryview(block)
        if size != row.item.size or crc != row.crc:
            raise Refused(DAMAGED, row.item.name)

    def _stored(self, at: int, size: int) -> Iterator[bytes]:
        while size:
            block = os.pread(self._source, min(size, BLOCK_BYTES), at)
            if not block:
                raise Refused(DAMAGED)
            at += len(block)
            size -= len(block)
            yield block

    def _inflated(self, at: int, row: _Row) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(-15)
        try:
            for packed in self._stored(at, row.packed):
                rest = packed
                while rest and not unpacker.eof:
                    yield unpacker.decompress(rest, BLOCK_BYTES)
                    rest = unpacker.unconsumed_tail
            while not unpacker.eof:
                block = unpacker.decompress(unpacker.unconsumed_tail, BLOCK_BYTES)
                if not block:
                    break
                yield block
        except zlib.error as exc:
            raise Refused(DAMAGED, row.item.name) from exc
        if not unpacker.eof:
            raise Refused(DAMAGED, row.item.name)

    def _data_offset(self, row: _Row) -> int:
        """Return where the content begins: the local header is asked for its own length, and for nothing else."""
        header = os.pread(self._source, _LOCAL.size, row.offset)
        if len(header) < _LOCAL.size:
            raise Refused(DAMAGED, row.item.name)
        magic, *_, name, extra = _LOCAL.unpack(header)
        if magic != 0x04034B50:
            raise Refused(DAMAGED, row.item.name)
        return row.offset + _LOCAL.size + int(name) + int(extra)

    def _rows(self) -> Iterator[_Row]:
        at, end = self._directory, self._directory + self._length
        window, start = b"", at
        for _ in range(self._count):
            if at - start + 4 * 65536 > len(window) and start + len(window) < self._size:
                window, start = os.pread(self._source, BLOCK_BYTES + 4 * 65536, at), at
            head = window[at - start : at - start + _CENTRAL.size]
            if len(head) < _CENTRAL.size:
                raise Refused(DAMAGED)
            # Its name, its further fields and its comment.
            length = _CENTRAL.size + sum(struct.unpack_from("<HHH", head, 28))
            row = _parse_row(window[at - start : at - start + length], self._prefix)
            at += row.length
            # Beyond its own file nothing can lie; what is larger would not fit what it is counted in either.
            if at > end or row.offset > self._size or row.packed > self._size:
                raise Refused(DAMAGED, row.item.name)
            yield row
        if at != end:
            raise Refused(DAMAGED)

    def _find_directory(self) -> tuple[int, int, int, int]:
        """Return how many rows there are, where they begin, how long they are, and where the archive begins."""
        tail_at = max(0, self._size - _END.size - _MAX_COMMENT_BYTES - _LOCATOR.size)
        tail = os.pread(self._source, self._size - tail_at, tail_at)
        found = tail.rfind(b"PK\x05\x06")
        if found < 0 or len(tail) - found < _END.size:
            raise Refused(DAMAGED)
        _, disk, first_disk, here, count, length, offset, comment = _END.unpack_from(tail, found)
        end = tail_at + found
        if len(tail) - found - _END.size < comment:
            raise Refused(DAMAGED)
        if found >= _LOCATOR.size and tail[found - _LOCATOR.size :].startswith(b"PK\x06\x07"):
            _, _, at, disks = _LOCATOR.unpack_from(tail, found - _LOCATOR.size)
            wide = os.pread(self._source, _END_64.size, at) if at < self._size else b""
            if len(wide) < _END_64.size or not wide.startswith(b"PK\x06\x06") or disks > 1:
                raise Refused(DAMAGED)
            _, _, _, _, disk, first_disk, here, count, length, offset = _END_64.unpack(wide)
            end = at
        if disk or first_disk or here != count:
            raise Refused(SPLIT)
        directory = end - length
        if directory < 0 or directory < offset:
            raise Refused(DAMAGED)
        return count, directory, length, directory - offset


def _parse_row(raw: bytes, prefix: int) -> _Row:
    if len(raw) < _CENTRAL.size or not raw.startswith(b"PK\x01\x02"):
        raise Refused(DAMAGED)
    _, made, _, flags, method, clock, crc, packed, size, n_name, n_extra, n_comment, disk, _, attributes, offset = (
        _CENTRAL.unpack_from(raw)
    )
    length = _CENTRAL.size + n_name + n_extra + n_comment
    if len(raw) < length or disk not in {0, 0xFFFF}:
        raise Refused(DAMAGED)
    name = raw[_CENTRAL.size : _CENTRAL.size + n_name]
    extra = raw[_CENTRAL.size + n_name : _CENTRAL.size + n_name + n_extra]
    size, packed, offset, modified, name = _apply_extra(extra, size, packed, offset, name)
    item = _item(name, made >> 8, flags, attributes >> 16)
    item.size = size
    item.modified_s = _seconds(clock) if modified is None else modified
    if flags & _ENCRYPTED:
        raise Refused(ENCRYPTED, item.name)
    if method not in {0, 8}:
        raise Refused(METHOD, item.name)
    return _Row(item, method=method, crc=crc, packed=packed, offset=offset + prefix, length=length)


def _item(name: bytes, host: int, flags: int, mode: int) -> Item:
    """Return what the entry is; where the archive was made under Unix its mode says so, else its name."""
    is_unix = host in _UNIX_HOSTS
    if not flags & _UTF8 and not is_unix and not _is_utf8(name):
        name = name.decode("cp437").encode()
    if not is_unix:
        name = name.replace(b"\\", b"/")
    kinds = {0: FILE, 0o100000: FILE, 0o040000: FOLDER, 0o120000: LINK}
    kind = kinds.get(mode & 0o170000, OTHER) if is_unix else FILE
    if name.endswith(b"/") and kind == FILE:
        kind = FOLDER
    rights = mode & 0o777 if is_unix and mode else 0o755 if kind == FOLDER else 0o644
    return Item(name, kind=kind, mode=rights)


def _apply_extra(
    extra: bytes, size: int, packed: int, offset: int, name: bytes
) -> tuple[int, int, int, int | None, bytes]:
    """Return sizes and offset as 64 bits have them, the time in seconds, and the name as Unicode has it."""
    modified = None
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == 1:
            wide = list(struct.unpack_from(f"<{len(body) // 8}Q", body))
            values = [size, packed, offset]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and wide:
                    values[index] = wide.pop(0)
            size, packed, offset = values
        elif kind == 0x5455 and len(body) >= 5 and body[0] & 1:
            (modified,) = struct.unpack_from("<i", body, 1)
        elif kind == 0x7075 and len(body) > 5 and body[1:5] == struct.pack("<I", zlib.crc32(name)):
            name = body[5:]
    return size, packed, offset, modified, name


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _seconds(clock: int) -> int:
    """Return the seconds of a DOS time, taken for UTC since it does not say."""
    year, month, day = (clock >> 25) + 1980, max(1, min(clock >> 21 & 15, 12)), clock >> 16 & 31
    before = year - 1 if month <= 2 else year
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + max(day, 1) - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 + day_of_year - 719468
    return days * 86400 + (clock >> 11 & 31) * 3600 + (clock >> 5 & 63) * 60 + (clock & 31) * 2

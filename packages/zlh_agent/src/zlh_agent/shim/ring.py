"""The ring file: the last stretch of a terminal's output, written by its shim and read by the agent.

    0      magic, version, capacity, stream id                    written once, when the file is made
    512    two slots: sequence, written offset, clean, boot id    each commit overwrites the older one
    4096   capacity + BLOCK_BYTES of data; the byte at absolute offset n lies at n modulo that size

Invariants:
- A byte is in the file before a slot says so, and a slot that was torn fails its check while the other still stands: a
  writer that dies at any instruction leaves a ring that ends where its last whole commit says.
- Between two commits a writer touches at most BLOCK_BYTES, and the data area is that much larger than what may be read:
  an unfinished write never reaches a byte that a reader may be given. So a reader that finds its start still inside
  *after* it has read holds bytes that were right.
- After a crash of the machine nobody knows which pages reached the disk: a ring that was left open under another boot
  id starts a new stream instead of showing what was never printed.

The shim imports this, so it needs nothing but `os` and `struct` (a check by remainder costs no import, a CRC does).
"""

from __future__ import annotations

import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"ZLHRING1"
VERSION = 1
DEFAULT_CAPACITY_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 64 * 1024
DATA_START = 4096
SLOTS_START = 512

_FIXED = struct.Struct(">8sIQ16s")
_SLOT = struct.Struct(">QQB16s")
_CHECK = struct.Struct(">Q")
_FIXED_BYTES = _FIXED.size + _CHECK.size
_SLOT_BYTES = _SLOT.size + _CHECK.size
# The largest prime below 2**64: a torn record passes the check once in 2**64 times.
_PRIME = 2**64 - 59
# How often a reader looks again at slots that are being rewritten under its eyes.
_SLOT_READS = 8


class RingInvalid(Exception):
    """The file is no ring that can be believed: missing header, torn in both slots, or of another version."""


class Position:
    """What one commit says: how much was ever written, and under which boot."""

    __slots__ = ("boot_id", "clean", "sequence", "written")

    def __init__(self, sequence: int, written: int, boot_id: bytes, *, clean: bool) -> None:
        self.sequence = sequence
        self.written = written
        self.boot_id = boot_id
        self.clean = clean


def _render_checked(body: bytes) -> bytes:
    return body + _CHECK.pack((int.from_bytes(body, "big") + 1) % _PRIME)


def _is_whole(record: bytes) -> bool:
    body = record[: -_CHECK.size]
    return record[-_CHECK.size :] == _CHECK.pack((int.from_bytes(body, "big") + 1) % _PRIME)


def render_fixed(capacity: int, stream: bytes) -> bytes:
    """Return the part of the header that never changes."""
    return _render_checked(_FIXED.pack(MAGIC, VERSION, capacity, stream))


def parse_fixed(raw: bytes) -> tuple[int, bytes]:
    """Return (capacity, stream id); raise RingInvalid where this is no header of ours."""
    record = raw[:_FIXED_BYTES]
    if len(record) < _FIXED_BYTES or not _is_whole(record):
        raise RingInvalid("the header is missing or torn")
    magic, version, capacity, stream = _FIXED.unpack(record[: _FIXED.size])
    if magic != MAGIC or version != VERSION or capacity <= 0:
        raise RingInvalid(f"the header is of another kind: {magic!r}, version {version}")
    return capacity, stream


def render_slot(position: Position) -> bytes:
    """Return one slot; it belongs at index `sequence % 2`."""
    return _render_checked(_SLOT.pack(position.sequence, position.written, position.clean, position.boot_id))


def parse_slots(raw: bytes) -> Position:
    """Return the newer whole slot of the two; raise RingInvalid where both are torn."""
    best: Position | None = None
    for index in (0, 1):
        record = raw[index * _SLOT_BYTES : (index + 1) * _SLOT_BYTES]
        if len(record) == _SLOT_BYTES and _is_whole(record):
            sequence, written, clean, boot_id = _SLOT.unpack(record[: _SLOT.size])
            if sequence % 2 == index and (best is None or sequence > best.sequence):
                best = Position(sequence, written, boot_id, clean=bool(clean))
    if best is None:
        raise RingInvalid("both slots are torn")
    return best


def is_believable(position: Position, boot_id: bytes) -> bool:
    """Tell whether the data that `position` counts is sure to be in the file, on a machine with this boot id."""
    return position.clean or position.boot_id == boot_id


def spans(offset: int, length: int, capacity: int) -> tuple[tuple[int, int], ...]:
    """Return where `length` bytes from the absolute `offset` lie: one or two (position in the file, length)."""
    size = capacity + BLOCK_BYTES
    at = offset % size
    first = min(length, size - at)
    if first == length:
        return ((DATA_START + at, length),)
    return ((DATA_START + at, first), (DATA_START, length - first))


def file_bytes(capacity: int) -> int:
    """Return how long the file of a ring is."""
    return DATA_START + capacity + BLOCK_BYTES


class RingWriter:
    """The only writer of one ring file, for as long as it is open: a second one is refused by a lock."""

    def __init__(
        self, fd: int, capacity: int, stream: bytes, position: Position, pwrite: Callable[[int, bytes, int], int]
    ) -> None:
        self._fd = fd
        self._pwrite = pwrite
        self._boot_id = position.boot_id
        self._sequence = position.sequence
        self.capacity = capacity
        self.stream = stream
        self.written = position.written

    @classmethod
    def open(
        cls,
        path: str,
        *,
        boot_id: bytes,
        capacity: int = DEFAULT_CAPACITY_BYTES,
        pwrite: Callable[[int, bytes, int], int] = os.pwrite,
    ) -> RingWriter:
        """Continue the ring at `path`, or make a fresh one there where there is none that can be believed.

        A ring of another capacity is continued with the capacity that it has. Raises BlockingIOError while another
        writer holds it, and OSError where the disk has no room for it.
        """
        fd = _open_locked(path)
        try:
            kept = _read_kept(fd, boot_id)
            if kept is None:
                capacity, stream, position = _make_fresh(fd, capacity, boot_id)
            else:
                capacity, stream, position = kept
            writer = cls(
                fd, capacity, stream, Position(position.sequence, position.written, boot_id, clean=False), pwrite
            )
            writer._commit()
        except BaseException:
            os.close(fd)
            raise
        return writer

    def append(self, data: bytes | memoryview) -> None:
        """Write `data` behind everything so far; readers see it block by block."""
        view = memoryview(data)
        for start in range(0, len(view), BLOCK_BYTES):
            self._append_block(view[start : start + BLOCK_BYTES])

    def _append_block(self, block: memoryview) -> None:
        done = 0
        for at, length in spans(self.written, len(block), self.capacity):
            self._write(block[done : done + length], at)
            done += length
        self.written += len(block)
        self._commit()

    def _commit(self, *, clean: bool = False) -> None:
        self._sequence += 1
        record = render_slot(Position(self._sequence, self.written, self._boot_id, clean=clean))
        self._write(record, SLOTS_START + self._sequence % 2 * _SLOT_BYTES)

    def _write(self, data: bytes | memoryview, at: int) -> None:
        done = 0
        while done < len(data):
            done += self._pwrite(self._fd, data[done:], at + done)  # type: ignore[arg-type]  # any buffer will do

    def close(self) -> None:
        """Bring everything to the disk, say so in the ring, and let it go."""
        try:
            os.fdatasync(self._fd)
            self._commit(clean=True)
            os.fdatasync(self._fd)
        finally:
            os.close(self._fd)


def _open_locked(path: str) -> int:
    """Open and lock the file that stands at `path` now, not one that was unlinked while we waited."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):  # noqa: PTH116 - pathlib would cost the shim 4 ms
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _read_kept(fd: int, boot_id: bytes) -> tuple[int, bytes, Position] | None:
    try:
        capacity, stream = parse_fixed(os.pread(fd, _FIXED_BYTES, 0))
        position = parse_slots(os.pread(fd, 2 * _SLOT_BYTES, SLOTS_START))
    except RingInvalid:
        return None
    has_room = os.fstat(fd).st_size >= file_bytes(capacity)
    return (capacity, stream, position) if has_room and is_believable(position, boot_id) else None


def _write_all(fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], done)


def _make_fresh(fd: int, capacity: int, boot_id: bytes) -> tuple[int, bytes, Position]:
    """Lay the file out; the fixed header comes last, so that a half-made ring is none.

    What the file has of the disk it keeps: on a full one somebody else would have it at once.
    """
    size = file_bytes(capacity)
    os.ftruncate(fd, min(os.fstat(fd).st_size, size))
    _write_all(fd, bytes(DATA_START))
    # On a disk without any room, XFS refuses even what is there already.
    if os.fstat(fd).st_blocks * 512 < size:
        os.posix_fallocate(fd, 0, size)
    # A version 4 UUID, without the cost of importing uuid.
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    position = Position(0, 0, boot_id, clean=False)
    os.pwrite(fd, render_slot(position), SLOTS_START)
    os.pwrite(fd, render_fixed(capacity, bytes(raw)), 0)
    return capacity, bytes(raw), position


class RingReader:
    """Reads a ring while its shim writes it, or after; never blocks the writer and takes no lock."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self.capacity, self.stream = parse_fixed(os.pread(self._fd, _FIXED_BYTES, 0))
        except BaseException:
            os.close(self._fd)
            raise

    def position(self) -> Position:
        """Return the last commit; raise RingInvalid where both slots are torn."""
        for _ in range(_SLOT_READS - 1):
            try:
                return parse_slots(os.pread(self._fd, 2 * _SLOT_BYTES, SLOTS_START))
            except RingInvalid:
                continue
        return parse_slots(os.pread(self._fd, 2 * _SLOT_BYTES, SLOTS_START))

    def written(self) -> int:
        """Return the absolute offset behind the last byte."""
        return self.position().written

    def oldest(self) -> int:
        """Return the absolute offset of the first byte that can still be read."""
        return max(0, self.written() - self.capacity)

    def read(self, start: int, limit: int, *, header_bytes: int = 0) -> bytearray | None:
        """Return up to `limit` bytes from the absolute offset `start`, behind `header_bytes` left empty for the caller.

        None means that the byte at `start` is gone or was never written; the caller decides where to go on.
        """
        written = self.written()
        if not max(0, written - self.capacity) <= start <= written:
            return None
        length = min(limit, written - start)
        buffer = bytearray(header_bytes + length)
        with memoryview(buffer) as view:
            done = header_bytes
            for at, size in spans(start, length, self.capacity):
                if size and os.preadv(self._fd, [view[done : done + size]], at) != size:
                    return None
                done += size
        # The writer may have come round while we read; its newest commit says what it may have touched.
        return buffer if start >= self.written() - self.capacity else None

    def close(self) -> None:
        """Let the file go; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

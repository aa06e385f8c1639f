"""What an archive is by its content, and what a compressed one holds: in bounded blocks, whatever it claims."""

from __future__ import annotations

import lzma
import os
import zlib

import zstandard

from zlh_agent.archives.rules import DAMAGED, ENDLESS, WINDOW
from zlh_agent.files.refusals import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_BYTES = 256 * 1024
# As much as usual programs ask for: `xz -9` takes 64 MiB, `zstd --ultra -22` and `--long=27` take 128. It is a quarter
# of the address space that a child has.
MAX_WINDOW_BYTES = 128 * 1024 * 1024
_XZ_MEMORY_BYTES = MAX_WINDOW_BYTES + 1024 * 1024
_MAGICS = ((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"))


def find_kind(source: int) -> str:
    """Return `zip`, `gz`, `xz` or `zst` of an open file by its first bytes, else `tar`, which the reader sees."""
    start = os.pread(source, 8, 0)
    for magic, kind in _MAGICS:
        if start.startswith(magic):
            return kind
    if start.startswith(b"\x28\xb5\x2f\xfd") or start[1:4] == b"\x2a\x4d\x18":
        return "zst"
    return "tar"


def open_blocks(source: int, kind: str) -> Iterator[bytes]:
    """Return the tar that is in it, block by block."""
    return {"gz": _gunzip, "xz": _unxz, "zst": _unzstd, "tar": _read}[kind](source)


class Stream:
    """Bytes that come in blocks, taken in the pieces that a format has."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def take(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end; for what is small."""
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield so many bytes as they come, fewer only at the end."""
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._blocks, b""))
                if not self._rest:
                    return
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece


def _read(source: int) -> Iterator[bytes]:
    while block := os.read(source, BLOCK_BYTES):
        yield block


def _gunzip(source: int) -> Iterator[bytes]:
    return _members(source, _Gunzip, zlib.error)


def _unxz(source: int) -> Iterator[bytes]:
    return _members(source, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES), lzma.LZMAError)


class _Gunzip:
    """zlib's decompressor, asked as that of xz."""

    def __init__(self) -> None:
        self._packed = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._packed.eof

    @property
    def unused_data(self) -> bytes:
        return self._packed.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        block = self._packed.decompress(self._packed.unconsumed_tail + data, max_length)
        self.needs_input = not self._packed.unconsumed_tail and len(block) < max_length
        return block


def _members(
    source: int, make: Callable[[], _Gunzip | lzma.LZMADecompressor], damage: type[Exception]
) -> Iterator[bytes]:
    """Yield what the members of a file hold, one after the other; zeros may stand between and behind them."""
    data = os.read(source, BLOCK_BYTES)
    while data:
        member = make()
        while not member.eof:
            if member.needs_input and not data and not (data := os.read(source, BLOCK_BYTES)):
                raise Refused(DAMAGED)
            try:
                block = member.decompress(data, BLOCK_BYTES)
            except damage as exc:
                raise Refused(WINDOW if "emory" in str(exc) else DAMAGED) from exc
            data = b""
            if block:
                yield block
        data = member.unused_data.lstrip(b"\0")
        while not data and (data := os.read(source, BLOCK_BYTES)):
            data = data.lstrip(b"\0")
        if data and data[:1] not in {b"\x1f", b"\xfd"}:
            raise Refused(ENDLESS)


def _unzstd(source: int) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with os.fdopen(os.dup(source), "rb", buffering=0) as file:
        reader = unpacker.stream_reader(file, read_size=BLOCK_BYTES, read_across_frames=True)
        while True:
            try:
                block = reader.read(BLOCK_BYTES)
            except zstandard.ZstdError as exc:
                raise Refused(WINDOW if "memory" in str(exc) else DAMAGED) from exc
            if not block:
                return
            yield block

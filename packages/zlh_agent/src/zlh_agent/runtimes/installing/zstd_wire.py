"""Finds where a Zstandard frame ends (RFC 8878, 3.1.1), so that nothing can stand behind it unseen."""

from __future__ import annotations

from collections.abc import Callable

from zlh_agent.runtimes.errors import UnpackFailed

_BLOCK_HEADER_BYTES, _CHECKSUM_BYTES = 3, 4
_RUN_LENGTH, _RESERVED = 1, 3
# 128 KiB of data each at most; an honest frame of gigabytes has no more.
MAX_BLOCKS = 1_000_000


def find_frame_end(read_at: Callable[[int, int], bytes], *, header_bytes: int, has_checksum: bool) -> int:
    """Return the offset behind the frame at 0; `read_at(offset, n)` gives bytes of the file. Raise UnpackFailed."""
    at = header_bytes
    for _ in range(MAX_BLOCKS):
        header = read_at(at, _BLOCK_HEADER_BYTES)
        if len(header) < _BLOCK_HEADER_BYTES:
            raise UnpackFailed(reason="it is no whole zstd file (it ends too early)")
        word = int.from_bytes(header, "little")
        is_last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == _RESERVED:
            raise UnpackFailed(reason="it is no whole zstd file (a block of an unknown type)")
        at += _BLOCK_HEADER_BYTES + (1 if kind == _RUN_LENGTH else size)
        if is_last:
            return at + (_CHECKSUM_BYTES if has_checksum else 0)
    raise UnpackFailed(reason=f"it has more than {MAX_BLOCKS} blocks")

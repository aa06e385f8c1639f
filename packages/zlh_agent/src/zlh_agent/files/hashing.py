"""The SHA-256 of a file, a piece at a time, so that whoever wants to can break off between two. It blocks."""

from __future__ import annotations

import hashlib
import os

from zlh_agent.files.model import Amount

_BLOCK_BYTES, _BLOCKS = 1024 * 1024, 64


class Hashing:
    """Reads a descriptor from its beginning, whatever its position is."""

    def __init__(self) -> None:
        self.amount = Amount(1)
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of what was read, in hex."""
        return self._hash.hexdigest()

    def take(self, fd: int) -> bool:
        """Read on for a while; False at the end. Raises OSError."""
        for _ in range(_BLOCKS):
            block = os.pread(fd, _BLOCK_BYTES, self.amount.byte_count)
            if not block:
                return False
            self._hash.update(block)
            self.amount = Amount(1, 0, self.amount.byte_count + len(block))
        return True

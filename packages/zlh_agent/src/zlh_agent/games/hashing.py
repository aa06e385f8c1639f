"""Hashes of files by what a template calls them: `sha1:…`, `sha256:…`, `sha512:…`."""

from __future__ import annotations

import hashlib
import os
from typing import Any

BLOCK_BYTES = 1024 * 1024


class NamedHash:
    """A hash that is being made, and the one that is expected."""

    def __init__(self, expected: str) -> None:
        self._kind, _, self._expected = expected.partition(":")
        self._digest: Any = hashlib.new(self._kind, usedforsecurity=False)

    def update(self, block: bytes) -> None:
        """Take a further block."""
        self._digest.update(block)

    def is_right(self) -> bool:
        """Tell whether all blocks so far are what is expected."""
        return bool(self._digest.hexdigest() == self._expected)


def matches(fd: int, expected: str) -> bool:
    """Tell whether an open file is what is expected, from its beginning to its end."""
    made = NamedHash(expected)
    offset = 0
    while block := os.pread(fd, BLOCK_BYTES, offset):
        made.update(block)
        offset += len(block)
    return made.is_right()

"""How much memory a download holds, by how many there are."""

from __future__ import annotations

# All of them share so much, twice: a block that is sent, and one that is read. Less than the least is not worth a call.
_SHARED_BYTES, _LEAST_SHARE_BYTES = 1024 * 1024, 32 * 1024


def share_of_memory(active: int) -> int:
    """Return how many bytes a block of a download may have that makes it `active` downloads, itself included."""
    return max(_SHARED_BYTES // active, _LEAST_SHARE_BYTES)

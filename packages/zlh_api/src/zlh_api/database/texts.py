"""What strangers say, as the database can hold it: else it could not even be written down that they have."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return a text without what PostgreSQL refuses: NUL, and halves of pairs of surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")

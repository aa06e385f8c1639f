"""The order of versions, one for the publisher, the API and the agent, so that all mean the same by newer: pure."""

from __future__ import annotations

import re

_PART = re.compile(r"[0-9]+|[a-z]+")
# What strangers call a version is compared too, and may be as long as they like.
MAX_CHARS = 128


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which 24.19.0 > 24.9.0 > 24.9.0-rc1, whatever the case of its letters.

    Only the first MAX_CHARS characters count.
    """
    parts = _PART.findall(version[:MAX_CHARS].lower())
    key = tuple((1, int(part), "") if part.isdigit() else (-1, 0, part) for part in parts)
    # The end of a version ranks above a pre-release word and below a further number.
    return (*key, (0, 0, ""))

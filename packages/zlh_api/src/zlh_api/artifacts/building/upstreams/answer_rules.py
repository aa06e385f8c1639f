"""What an upstream says is not what it should be, and how it is read. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

S = TypeVar("S")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")


class UpstreamUnusable(ValueError):
    """An answer of an upstream does not say what is needed, or says what nobody may believe."""


def parse_answer(raw: bytes, shape: type[S], what: str) -> S:
    """Return a JSON answer as a shape; raise UpstreamUnusable, which says what it should have been."""
    try:
        parsed: Any = msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise UpstreamUnusable(f"it is no {what}: {exc}") from exc
    answer: S = parsed
    return answer


def is_version_name(text: str) -> bool:
    """Tell whether a text can be the name of a version here."""
    return _VERSION.fullmatch(text) is not None

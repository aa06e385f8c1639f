"""How a record says whose it is: our mark in a comment, or in a TXT record beside it. Pure."""

from __future__ import annotations

import re

from zlh_common.names import MARK, OwnerMark

_COMMENT = re.compile(rf"zlh:(?P<owner>{MARK})(?: .*)?", re.DOTALL)
# In zones whose records have no comments, the mark of a host stands at this name below it.
MARK_LABEL = "_zlh-owner"


def render_mark(owner: OwnerMark) -> str:
    """Return what is written beside a record of this container."""
    return f"zlh:{owner}"


def parse_mark(comment: str | None) -> OwnerMark | None:
    """Return whose record has this comment; what people write behind our mark does not take it away."""
    match = _COMMENT.fullmatch(comment or "")
    return OwnerMark(match["owner"]) if match else None


def mark_name(host: str) -> str:
    """Return the name at which the mark of a host stands."""
    return f"{MARK_LABEL}.{host}"


def parse_mark_name(name: str) -> str | None:
    """Return the host whose mark stands at this name, or None."""
    label, dot, host = name.partition(".")
    return host if dot and label.lower() == MARK_LABEL else None

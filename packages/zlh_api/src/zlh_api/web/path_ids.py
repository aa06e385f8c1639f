"""Ids in a path: one spelling each, and whatever else is written there is not found."""

from __future__ import annotations

from uuid import UUID

from zlh_common.errors import NotFound


def parse_id(text: str, what: str) -> UUID:
    """Return an id; raise NotFound, which says of what, for whatever could not be one."""
    try:
        found = UUID(text)
    except ValueError:
        raise NotFound(what) from None
    # One thing has one address: no braces, no upper case.
    if str(found) != text:
        raise NotFound(what)
    return found

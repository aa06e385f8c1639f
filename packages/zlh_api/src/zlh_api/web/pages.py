"""How a list that is ordered by a text is asked for: `after`, `limit`, and where it says so `q`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import web

from zlh_api.web.query import short_text, whole_number

DEFAULT_LIMIT = 100
MAX_LIMIT = 200
# As long as an e-mail address in UTF-8.
MAX_TEXT_BYTES = 1024
PAGE_QUERY: Mapping[str, type[int | str]] = MappingProxyType({"after": str, "limit": int})
SEARCH_QUERY: Mapping[str, type[int | str]] = MappingProxyType({**PAGE_QUERY, "q": str})


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list."""

    # The `next` of the page before; empty for the first one.
    after: str
    limit: int
    # A part of what is listed; empty for all.
    q: str


def read_page(request: web.Request) -> Page:
    """Return what a request asks for; raise QueryInvalid."""
    return Page(
        after=short_text(request, "after", max_bytes=MAX_TEXT_BYTES),
        limit=whole_number(request, "limit", low=1, high=MAX_LIMIT) or DEFAULT_LIMIT,
        q=short_text(request, "q", max_bytes=MAX_TEXT_BYTES),
    )

"""How a list that is ordered by a text that stays is asked for: `after`, `limit`, and where it says so `q`."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_api.web.endpoint import Call
from zlh_api.web.query import page_limit, short_text

# As long as an e-mail address may be, and longer than a name.
MAX_CHARS = 320
AFTER = short_text("after", "The `next` of the page before.", max_chars=MAX_CHARS)
LIMIT = page_limit(default=100, high=200)
SEARCH = short_text("q", "A part of what is listed; its case does not matter.", max_chars=MAX_CHARS)
PAGE_QUERY = (AFTER, LIMIT)
SEARCH_QUERY = (*PAGE_QUERY, SEARCH)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list."""

    # The `next` of the page before; empty for the first one.
    after: str
    limit: int
    # A part of what is listed; empty for all.
    q: str


def read_page(call: Call, *, is_search: bool = False) -> Page:
    """Return what a request asks of a list whose endpoint declares PAGE_QUERY, or SEARCH_QUERY for a search."""
    return Page(
        after=call.asked(AFTER) or "",
        limit=call.asked(LIMIT),
        q=(call.asked(SEARCH) or "") if is_search else "",
    )

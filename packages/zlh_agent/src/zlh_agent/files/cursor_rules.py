"""The text by which a client asks for the next page of a folder: where the last one ended, and in which order it was.

It holds the key of the last entry and not its number, so pages go on correctly whatever is made or removed meanwhile.
"""

from __future__ import annotations

import base64
import struct

from zlh_agent.files.page_rules import SORTS, Order, Place, rank_of
from zlh_agent.files.rules import is_name

# Version, sort, descending and folders first, rank, value.
_FIXED = struct.Struct(">BBBBq")
_VERSION = 1
# Of the fixed part and the longest name, as base64 has it.
_MAX_LETTERS = 4 * (_FIXED.size + 255 + 2) // 3


def render_cursor(order: Order, place: Place) -> str:
    """Return the text for a place in an order."""
    order_bits = order.descending | order.folders_first << 1
    fixed = _FIXED.pack(_VERSION, SORTS.index(order.sort), order_bits, place.rank, place.value)
    raw = fixed + place.name.encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parse_cursor(order: Order, text: str) -> Place | None:
    """Return the place; None where the text is none that was given for this order."""
    if len(text) > _MAX_LETTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        _, _, _, rank, value = _FIXED.unpack_from(raw)
    except (ValueError, struct.error):
        return None
    place = Place(rank, value, raw[_FIXED.size :].decode("utf-8", "surrogateescape"))
    is_place = is_name(raw[_FIXED.size :]) and rank <= rank_of(order, is_folder=False)
    if not is_place or (order.is_by_name and value) or render_cursor(order, place) != text:
        return None
    return place

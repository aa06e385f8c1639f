"""In which order a folder is listed, and the text by which its next page is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.files import files_wire as wire
from zlh_agent.files.cursor_rules import parse_cursor, render_cursor
from zlh_agent.files.page_rules import SORTS, Order, Place, is_after, parse_asked, render_asked
from zlh_agent.files.rules import is_name

orders = st.builds(
    Order, st.sampled_from(SORTS), descending=st.booleans(), folders_first=st.booleans(), hidden=st.booleans()
)
names = st.binary(min_size=1, max_size=255).filter(is_name).map(wire.decode_name)
places = st.builds(Place, st.integers(0, 1), st.integers(-(2**63) + 1, 2**63 - 1), names)


def fitting(order: Order, place: Place) -> Place:
    """Return a place that this order has."""
    return Place(place.rank if order.folders_first else 0, 0 if order.is_by_name else place.value, place.name)


@given(orders, places)
def test_a_cursor_leads_back_to_its_place(order: Order, place: Place) -> None:
    """Of any name; and it fits into an address."""
    text = render_cursor(order, fitting(order, place))
    assert parse_cursor(order, text) == fitting(order, place)
    assert text.replace("-", "").replace("_", "").isalnum()


@given(orders, orders, places)
def test_a_cursor_is_of_one_order(order: Order, other: Order, place: Place) -> None:
    """In another it means nothing; what is hidden is no part of it."""
    shape = [(each.sort, each.descending, each.folders_first) for each in (order, other)]
    found = parse_cursor(other, render_cursor(order, fitting(order, place)))
    assert (found is not None) == (shape[0] == shape[1])


@given(orders, st.text(max_size=60))
def test_nonsense_is_no_cursor(order: Order, text: str) -> None:
    """Or it is exactly what would be given for a place."""
    place = parse_cursor(order, text)
    assert place is None or render_cursor(order, place) == text


@given(orders, st.none() | places)
def test_what_is_asked_arrives(order: Order, place: Place | None) -> None:
    """The order and the place, as they were."""
    arrived, after = parse_asked(tuple(render_asked(order, place)))
    assert after == place
    assert all(getattr(arrived, name) == getattr(order, name) for name in Order.__slots__)


@given(orders, places, places)
def test_of_two_places_one_comes_after(order: Order, one: Place, other: Place) -> None:
    """And never both."""
    assert (is_after(order, one, other) + is_after(order, other, one)) == (one != other)

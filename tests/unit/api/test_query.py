"""Query parameters: what is declared is what is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from multidict import MultiDict

from zlh_api.web.query import (
    Parameter,
    QueryInvalid,
    QueryUnknown,
    identifier,
    moment,
    page_limit,
    parse_moment,
    read_query,
    short_text,
    whole_number,
)

WHO_ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
AFTER = whole_number("after", "", low=0, high=100)
LIMIT = page_limit(default=10, high=50)
TEXT = short_text("q", "", max_chars=5)
NAME = short_text("name", "", max_chars=5, pattern="^[a-z]*$")
WHO = identifier("who", "")
AT = moment("at", "")
ALL = (AFTER, LIMIT, TEXT, NAME, WHO, AT)


def read(**query: str) -> dict[str, object]:
    """Return what is read."""
    return read_query(MultiDict(query), ALL)


def test_what_is_left_out_is_what_was_declared() -> None:
    """A default where there is one."""
    assert read() == {"after": None, "limit": 10, "q": None, "name": None, "who": None, "at": None}


def test_what_is_sent_is_read() -> None:
    """Each as what it is."""
    who = UUID(WHO_ID)
    got = read(after="7", limit="50", q="añb", who=str(who), at="2026-01-31T12:00:00+01:00")
    assert (got["after"], got["limit"], got["q"], got["who"]) == (7, 50, "añb", who)
    assert got["at"] == datetime(2026, 1, 31, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("after", text) for text in ("", "-1", "101", "1.0", "1e1", "+1", " 1", "01", "0x1", "\u0661", "9" * 30)),
        *(("limit", text) for text in ("0", "51", "null")),
        *(("q", text) for text in ("abcdef", "a\0", "a\n", "\ud800")),
        *(("name", text) for text in ("Owner", "k1ng", "a\n", "aaaaaa")),
        *(("who", text) for text in ("", "x", WHO_ID.upper(), f"{{{WHO_ID}}}", WHO_ID.replace("-", ""))),
        *(
            ("at", text)
            for text in ("", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "2026-W01-1T00:00:00Z",
                         "20260131T120000Z", "2026-01-31T24:00:00Z",
                         "0000-01-01T00:00:00Z", "2026-01-31T12:00:00+99:00")
        ),
    ],
)  # fmt: skip
def test_what_could_not_be_is_refused_by_name(name: str, text: str) -> None:
    """The parameter is named, and what it must be."""
    with pytest.raises(QueryInvalid) as caught:
        read(**{name: text})
    assert caught.value.data == {"parameter": name}


def test_once_and_no_other() -> None:
    """Twice is a contradiction, and an unknown one a typing mistake."""
    with pytest.raises(QueryInvalid, match="once"):
        read_query(MultiDict([("limit", "1"), ("limit", "1")]), ALL)
    with pytest.raises(QueryUnknown, match="after, limit"):
        read(limits="1")
    with pytest.raises(QueryUnknown, match="takes none"):
        read_query(MultiDict({"x": ""}), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31t12:00:00.1234567z", datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)),
        ("2026-01-31T12:00:00 01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999999, UTC)),
        ("0001-01-01T00:00:00+14:00", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_every_time_of_the_rfc_is_one(text: str, expected: datetime) -> None:
    """Small letters, leap seconds, a plus sign that became a blank, and the edges of the calendar."""
    assert parse_moment(text) == expected


@given(st.text(max_size=8), st.sampled_from([TEXT, NAME]))
def test_the_document_says_what_is_taken(text: str, parameter: Parameter[object]) -> None:
    """A text is taken where its schema says so, and nowhere else."""
    is_told = Draft202012Validator(dict(parameter.schema)).is_valid(text)
    try:
        read_query(MultiDict({parameter.name: text}), ALL)
    except QueryInvalid:
        assert not is_told or not text.isprintable()
    else:
        assert is_told

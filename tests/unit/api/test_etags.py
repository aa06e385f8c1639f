"""If-None-Match as RFC 9110 has it."""

from __future__ import annotations

import pytest

from zlh_api.web.etags import etag_of, is_known

TAG = '"abc"'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (['"abc"'], True),
        (['W/"abc"'], True),
        (["*"], True),
        ([" * "], True),
        (['"x", "abc"'], True),
        (['"x",W/"abc" , "y"'], True),
        (['"x"', '"abc"'], True),
        (['"a,b", "abc"'], True),
        ([', "abc",,'], True),
        ([], False),
        ([""], False),
        (["abc"], False),
        (['"xabcx"'], False),
        (['"x"abc"x"'], False),
        (['"abcd"'], False),
        (['"x, abc"'], False),
        (['"abc'], False),
        (['w/"abc"'], False),
        (['"abc" "x"'], False),
        (['"x", *'], False),
        (["**"], False),
    ],
)
def test_a_list_names_the_answer_or_not(given: list[str], expected: bool) -> None:
    """Compared weakly, whole tag by whole tag; what is no list names nothing."""
    assert is_known(TAG, given) is expected


def test_a_long_list_is_read_in_one_go() -> None:
    """As many commas as a header holds are no work."""
    assert not is_known(TAG, ['"a"' + " ," * 4000 + "x"])
    assert not is_known(TAG, ['"a",' * 2000 + "x"])


def test_other_bytes_have_another_tag() -> None:
    """And the same the same."""
    assert etag_of(b"1") == etag_of(b"1") != etag_of(b"2")
    assert is_known(etag_of(b"1"), [etag_of(b"1")])

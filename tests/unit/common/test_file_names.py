"""Names of files in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.file_names import name_to_text, text_to_name


@given(st.binary())
def test_every_name_comes_back(raw: bytes) -> None:
    """Whatever its bytes are, its text can be written as UTF-8 and means it again."""
    name = raw.decode("utf-8", "surrogateescape")
    text = name_to_text(name)
    assert text.encode().decode() == text
    assert text_to_name(text) == name


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_means_one_name(text: str) -> None:
    """What is written for a name that a text means, means it too."""
    name = text_to_name(text)
    assert text_to_name(name_to_text(name)) == name


def test_what_is_utf_8_stands_as_it_is() -> None:
    """Only what is none is written otherwise."""
    assert name_to_text("wörld.txt") == "wörld.txt"
    assert name_to_text(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\U0010fee9"
    assert text_to_name("caf\U0010fee9").encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_half_a_surrogate_is_no_text() -> None:
    """JSON can smuggle one in."""
    with pytest.raises(ValueError, match="surrogates"):
        text_to_name("a\ud800")

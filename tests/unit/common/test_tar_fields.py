"""The fields of a tar, against what the standard library writes."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.tar_fields import BLOCK_BYTES, Header, has_right_sum, parse_octal, parse_records

sizes = st.integers(0, 8**11 - 1)


@given(st.text("abc/ü", min_size=1, max_size=40), sizes, st.integers(0, 0o7777), sizes)
def test_a_header_says_what_was_written(name: str, size: int, mode: int, modified: int) -> None:
    """In the fields that every dialect has."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime, info.linkname = size, mode, modified, "target"
    block = info.tobuf(tarfile.GNU_FORMAT)[:BLOCK_BYTES]
    header = Header(block)
    assert (header.name, header.target, header.kind) == (name.encode(), b"target", b"0")
    assert [parse_octal(field) for field in (header.size, header.mode, header.modified)] == [size, mode, modified]
    assert has_right_sum(block)


@given(st.integers(0, BLOCK_BYTES - 1), st.integers(1, 255))
def test_a_header_that_was_changed_is_none(at: int, by: int) -> None:
    """One byte is enough, wherever it stands but in the blanks around the sum itself."""
    block = bytearray(tarfile.TarInfo("name").tobuf(tarfile.USTAR_FORMAT))
    block[at] = (block[at] + by) % 256
    if not 148 <= at < 156:
        assert not has_right_sum(bytes(block))


pairs = st.lists(st.tuples(st.from_regex(r"[a-z.]{1,20}", fullmatch=True), st.text(max_size=50)), max_size=5)


@given(pairs)
def test_records_are_read_as_they_were_written(told: list[tuple[str, str]]) -> None:
    """The length counts its own digits, and a value may have line breaks and signs of equality in it."""
    raw = b"".join(_record(key.encode(), value.encode()) for key, value in told)
    assert list(parse_records(raw)) == [(key.encode(), value.encode()) for key, value in told]


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = next(number for number in range(len(body), len(body) + 9) if number == len(body) + len(str(number)))
    return str(length).encode() + body


@pytest.mark.parametrize("raw", [b"x", b"5 a=b", b"99 a=b\n", b"3 \n", b"00000006 a=\n", b"7 abcd\n", b"-6 a=\n"])
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    """A length that lies, no sign of equality, no line break."""
    with pytest.raises(ValueError, match="record"):
        list(parse_records(raw))


@pytest.mark.parametrize("field", [b"", b"\0\0", b"8", b"1 2", b"-1", b"\xb2"])
def test_what_is_no_number_is_none(field: bytes) -> None:
    """Digits of eight alone."""
    assert parse_octal(field) is None

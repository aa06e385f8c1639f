"""The fields of a tar's header and the records of a pax header (POSIX.1-2017), as they stand there.

What they mean is up to who reads. The reader of catalog archives knows what runtimes need and refuses the rest, that of
customers' archives takes every dialect; one for both would have to be asked at each step whose rules it keeps to.
Children import this before they are confined, so there are only slots.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 512
_MAX_DIGITS = 7


class Header:
    """The fields of one block, uninterpreted; texts end before their first zero byte."""

    __slots__ = ("kind", "magic", "mode", "modified", "name", "prefix", "size", "target")

    def __init__(self, block: bytes) -> None:
        self.name = text_of(block[:100])
        self.mode = block[100:108]
        self.size = block[124:136]
        self.modified = block[136:148]
        self.kind = block[156:157]
        self.target = text_of(block[157:257])
        self.magic = block[257:265]
        self.prefix = text_of(block[345:500])


def text_of(field: bytes) -> bytes:
    """Return what stands in a field before its first zero byte."""
    return field.partition(b"\0")[0]


def parse_octal(field: bytes) -> int | None:
    """Return the number that a field says in octal digits; None where it says none."""
    digits = field.strip(b" \0")
    if not digits.isdigit() or set(digits) & set(b"89"):
        return None
    return int(digits, 8)


def sum_of(block: bytes) -> int:
    """Return what the checksum of a header should say: the sum of its bytes, with blanks for the checksum itself."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")


def has_right_sum(block: bytes) -> bool:
    """Tell whether a block is a header by its checksum."""
    return parse_octal(block[148:156]) == sum_of(block)


def parse_records(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a pax header says, records of `<length> <key>=<value>` and a line break; raise ValueError."""
    while raw:
        length, _, _ = raw[: _MAX_DIGITS + 1].partition(b" ")
        if not (length.isdigit() and len(length) + 2 < int(length) <= len(raw)):
            raise ValueError("a record has no length that it could have")
        record, raw = raw[len(length) + 1 : int(length)], raw[int(length) :]
        key, is_pair, value = record.removesuffix(b"\n").partition(b"=")
        if not is_pair or not record.endswith(b"\n"):
            raise ValueError("a record is no pair of key and value")
        yield key, value

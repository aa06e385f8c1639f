"""What a name or a line must be to be found, and how much is looked at."""

from __future__ import annotations

# A file with a NUL in its first bytes is no text.
BINARY_BYTES = 8 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_LINE_CHARS = 1000
LONGEST_S = 10.0
# What all that is found may take, its paths and lines together.
MAX_FOUND_BYTES = 4 * 1024 * 1024
# Letters that are shown before what was found in a line that is cut.
_BEFORE_CHARS = 200


def name_matches(name: str, wanted: str, *, match_case: bool) -> bool:
    """Tell whether a name holds the wanted text, or is as its `*` (anything) and `?` (one letter) say."""
    if not match_case:
        name, wanted = name.casefold(), wanted.casefold()
    if "*" in wanted or "?" in wanted:
        return _is_as(name, wanted)
    return wanted in name


def _is_as(name: str, pattern: str) -> bool:
    """Walk along both; what does not fit goes back to the last `*`, which then takes one letter more."""
    at = mark = 0
    star, place = -1, 0
    while at < len(name):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in {"?", name[at]}:
            at += 1
            place += 1
        elif star >= 0:
            place = star + 1
            mark += 1
            at = mark
        else:
            return False
    return not pattern[place:].strip("*")


class Needle:
    """A plain text that is looked for in lines."""

    __slots__ = ("_folded", "_match_case", "_raw")

    def __init__(self, text: str, *, match_case: bool) -> None:
        self._match_case = match_case
        self._raw = text.encode("utf-8", "surrogateescape")
        self._folded = text.casefold()

    @property
    def overlap_bytes(self) -> int:
        """Return how much of a piece must be looked at again with the next one; folding may make letters of one."""
        return 4 * len(self._raw)

    def find_in(self, piece: bytes) -> int:
        """Return at which letter, or near it, it begins in these bytes; -1 where it does not stand there."""
        if self._match_case:
            at = piece.find(self._raw)
            return at if at <= 0 else len(piece[:at].decode("utf-8", "replace"))
        return piece.decode("utf-8", "replace").casefold().find(self._folded)


def cut_line(line: bytes, at: int) -> bytes:
    """Return what is shown of a line in which something stands at a letter: so much of it that it can be seen."""
    text = line.rstrip(b"\r\n").decode("utf-8", "replace")
    if len(text) > MAX_LINE_CHARS:
        begin = max(0, at - _BEFORE_CHARS)
        text = text[begin : begin + MAX_LINE_CHARS]
    return text.encode()

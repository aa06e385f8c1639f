"""What a search tells, put together as it comes, and bounded whatever the child says."""

from __future__ import annotations

from zlh_agent.files.files_wire import WireError, decode_name
from zlh_agent.files.model import Answer
from zlh_agent.files.search_rules import MAX_FOUND_BYTES, MAX_LINE_CHARS
from zlh_agent.files.told import Found, FoundLine

# What would be obeyed by a terminal, and is no text; the tabulator is.
_NO_TEXT = dict.fromkeys([*range(9), *range(10, 32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")


class Finds:
    """What was found by now; at most `limit` lines, or files where there are none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self.found: list[Found] = []

    def add(self, answer: Answer) -> None:
        """Take a FOUND; raise WireError where it is more than may be."""
        self._limit -= len(answer.lines) or 1
        self._bytes += len(answer.where) + sum(len(line) for _, line in answer.lines)
        if self._limit < 0 or self._bytes > MAX_FOUND_BYTES or len(answer.entries) != 1:
            raise WireError("has found more than may be")
        lines = tuple(FoundLine(number, _as_text(line)) for number, line in answer.lines)
        self.found.append(Found(decode_name(answer.where), answer.entries[0], lines))


def _as_text(line: bytes) -> str:
    return line.decode("utf-8", "replace")[:MAX_LINE_CHARS].translate(_NO_TEXT)

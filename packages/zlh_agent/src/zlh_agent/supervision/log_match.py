"""Finds what says that a process is ready, in output that comes in pieces.

A pattern of LogMatch is literal text with `*` for anything, anywhere in a line, so that no pattern can take longer than
the text is long; a line without its end counts too, since a prompt has none. LineMatch wants a whole line.
"""

from __future__ import annotations

from zlh_agent.console.plain_lines import PlainLines
from zlh_common.line_patterns import match_line


def matches_line(line: str, pattern: str) -> bool:
    """Tell whether `pattern` is somewhere in the line."""
    at = 0
    for part in pattern.split("*"):
        found = line.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


class LogMatch:
    """Feed it output; it remembers only the line that is not yet at its end."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._lines = PlainLines(keeps_overwritten=True)
        self.is_found = False

    def feed(self, data: bytes) -> bool:
        """Return whether the pattern was found by now, the same however the output is cut."""
        lines = [*self._lines.feed(data), self._lines.unfinished]
        self.is_found = self.is_found or any(matches_line(line, self._pattern) for line in lines)
        return self.is_found

    def lose(self) -> None:
        """Some output is missing here; what comes is no end of what came before."""
        self._lines = PlainLines(keeps_overwritten=True)


class LineMatch:
    """The same for a pattern of `zlh_common.line_patterns`, which a whole line must be."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._lines = PlainLines()
        self.is_found = False

    def feed(self, data: bytes) -> bool:
        """Return whether such a line has ended by now, the same however the output is cut."""
        lines = self._lines.feed(data)
        self.is_found = self.is_found or any(match_line(self._pattern, line) is not None for line in lines)
        return self.is_found

    def lose(self) -> None:
        """Some output is missing here; what comes begins somewhere in a line."""
        self._lines = PlainLines(is_cut=True)

"""Finds the line that says that a process is ready, in output that comes in pieces.

A pattern is literal text with `*` for anything, so that no pattern can take longer than the text is long. Lines are
matched without colours and cursor movements; a line that never ends is looked at by its first part only. A line
without its end counts too, since a prompt has none.
"""

from __future__ import annotations

import re

MAX_LINE_CHARS = 16 * 1024
# CSI, OSC (ended by BEL or ST), charset selection and the rest of the two-character sequences.
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[@-Z\\-_=>])"
    r"|[\x00-\x08\x0b-\x1f]"
)
# A sequence whose end has not come yet.
_CUT_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[()])?\Z")


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
        self._line = b""
        self.is_found = False

    def feed(self, data: bytes) -> bool:
        """Return whether the pattern was found by now, the same however the output is cut."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._extend(line)
            self._look()
            self._line = b""
        self._extend(rest)
        self._look()
        return self.is_found

    def _extend(self, part: bytes) -> None:
        room = MAX_LINE_CHARS - len(self._line)
        self._line += part[: max(0, room)]

    def _look(self) -> None:
        text = _CONTROL.sub("", _CUT_CONTROL.sub("", self._line.decode("utf-8", "ignore")))
        self.is_found = self.is_found or matches_line(text, self._pattern)

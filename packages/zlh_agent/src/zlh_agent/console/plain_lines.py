"""Whole lines of a terminal's output as text, without colours and cursor movements: pure.

A prompt before a return to the first column is overwritten on a screen, so a line is what stands behind the last one,
unless all of it is wanted. Anything else before it was written by somebody, such as a player who would have the rest
read as the server's own word: there all of it is the line. One that never ends is cut at MAX_LINE_CHARS; the rest of it
is passed over, so nothing that comes behind reads as a line.
"""

from __future__ import annotations

import re

MAX_LINE_CHARS = 16 * 1024
# CSI, OSC (ended by BEL or ST), charset selection and the rest of the two-character sequences.
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[@-Z\\-_=>])"
    r"|[\x00-\x08\x0b-\x0c\x0e-\x1f]"
)
# The cursor is set to the first column, which is what a carriage return does.
_RETURN = re.compile(r"\x1b\[1?G")
# What consoles overwrite themselves, with what somebody has typed behind it and not sent yet.
_PROMPT = ">"
# A sequence whose end has not come yet.
_CUT_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[()])?\Z")


def read_plain(raw: bytes, *, keeps_overwritten: bool = False) -> str:
    """Return a line or the beginning of one as text; what is no UTF-8 is left out."""
    text = _CUT_CONTROL.sub("", raw.decode("utf-8", "ignore"))
    text = _CONTROL.sub("", _RETURN.sub("\r", text))
    *overwritten, shown = text.rstrip("\r").split("\r")
    if keeps_overwritten or not all(part.lstrip().startswith(_PROMPT) for part in overwritten if part.strip()):
        return text.replace("\r", "")
    return shown


class PlainLines:
    """Feed it output; it remembers only the line that is not yet at its end.

    Output that `is_cut` begins somewhere in a line: what comes up to its end is no line, or anybody who has written
    into that line could have written all of what would be read.
    """

    def __init__(self, *, keeps_overwritten: bool = False, is_cut: bool = False) -> None:
        self._line = bytearray()
        self._keeps_overwritten = keeps_overwritten
        self._is_cut = is_cut

    @property
    def unfinished(self) -> str:
        """The line that has no end yet, such as a prompt."""
        return read_plain(bytes(self._line), keeps_overwritten=self._keeps_overwritten)

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that have ended, the same however the output is cut."""
        *ended, rest = data.split(b"\n")
        if self._is_cut:
            if not ended:
                return []
            ended, self._is_cut = ended[1:], False
        found = []
        for part in ended:
            self._extend(part)
            found.append(self.unfinished)
            self._line.clear()
        self._extend(rest)
        return found

    def _extend(self, part: bytes) -> None:
        self._line += part[: max(0, MAX_LINE_CHARS - len(self._line))]

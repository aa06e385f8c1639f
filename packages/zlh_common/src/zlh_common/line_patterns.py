"""Patterns of one line of a server's output: literal text with named gaps, from the beginning of the line to its end.

    [{time}] [Server thread/INFO]: {name} joined the game

A gap takes what its name allows and nothing else, so a line that a player has typed never reads as one of the server's
own: what he says stands behind `<his name>`, where the pattern wants a name. `{text}` takes anything, and at most two
of it may stand in a pattern. Gaps are bounded, and so is in how many ways all of them can share a line, so that none
takes long, whatever stands in it.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_PATTERN_CHARS = 256
# Two of `{text}` have as many as this.
MAX_WAYS = 256 * 256
_GAPS = {
    "time": r"[0-9A-Za-z:., -]{1,40}",
    "number": r"[0-9][0-9.,]{0,31}",
    "name": r"[A-Za-z0-9_-]{1,32}",
    "uuid": r"[0-9a-fA-F-]{32,36}",
    "word": r"[^\s\[\]<>]{1,128}",
    "text": r".{0,256}?",
    # To the end of the line; only there.
    "rest": r".*",
}
# Where a gap may end in more than one place: what it takes besides its first character, and in how many at most.
_OPEN = {
    "time": (re.compile(r"[0-9A-Za-z:., -]"), 40),
    "number": (re.compile(r"[0-9.,]"), 32),
    "name": (re.compile(r"[A-Za-z0-9_-]"), 32),
    "uuid": (re.compile(r"[0-9a-fA-F-]"), 5),
    "word": (re.compile(r"[^\s\[\]<>]"), 128),
    "text": (re.compile(r"."), 256),
}
# Those whose text is worth knowing; each once in a pattern.
_NAMED = frozenset({"name", "uuid", "number"})
_GAP = re.compile(r"\{([^{}]*)\}")


def find_pattern_problem(pattern: str) -> str | None:
    """Return why nothing can be matched by this pattern, or None."""
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARS:
        return f"a pattern has 1 to {MAX_PATTERN_CHARS} characters"
    if not pattern.isprintable():
        return "a pattern is one line of printable characters"
    return _find_gap_problem(_GAP.findall(pattern)) or _find_text_problem(pattern) or _find_ways_problem(pattern)


def find_gaps(pattern: str) -> frozenset[str]:
    """Return the names of a pattern's gaps."""
    return frozenset(_GAP.findall(pattern))


def _find_gap_problem(gaps: list[str]) -> str | None:
    if strange := sorted(set(gaps) - _GAPS.keys()):
        return f"there is no gap {{{strange[0]}}}; there are {', '.join(sorted(_GAPS))}"
    if twice := sorted(gap for gap in _NAMED if gaps.count(gap) > 1):
        return f"{{{twice[0]}}} stands twice"
    return "{text} stands more than twice" if gaps.count("text") > 2 else None


def _find_text_problem(pattern: str) -> str | None:
    text = _GAP.sub("", pattern)
    if "{" in text or "}" in text:
        return "a brace stands alone"
    if "{rest}" in pattern.removesuffix("{rest}"):
        return "{rest} is the end of a pattern"
    return None if text.strip() else "a pattern needs some text of its own"


def _find_ways_problem(pattern: str) -> str | None:
    """Return what makes a pattern fit some lines in very many ways: each of them is tried before a line is none."""
    ways = 1
    for gap in _GAP.finditer(pattern):
        follows = pattern[gap.end() : gap.end() + 1]
        if gap[1] in _OPEN and follows:
            taken, most = _OPEN[gap[1]]
            # Behind a character that the gap does not take there is one place where it can end.
            ways *= most if follows == "{" or taken.fullmatch(follows) else 1
    reason = "its gaps can share a line in too many ways; put a character between them that they cannot hold"
    return reason if ways > MAX_WAYS else None


def match_line(pattern: str, line: str) -> dict[str, str] | None:
    """Return what stands in the gaps `name`, `uuid` and `number`; None where the whole line is not as the pattern says.

    The line is without colours and its end; the pattern is one that `find_pattern_problem` has nothing against.
    """
    found = _compile(pattern).fullmatch(line)
    return None if found is None else found.groupdict()


@lru_cache(maxsize=512)
def _compile(pattern: str) -> re.Pattern[str]:
    parts, at = [], 0
    for gap in _GAP.finditer(pattern):
        name = gap[1]
        parts += [re.escape(pattern[at : gap.start()]), f"(?P<{name}>{_GAPS[name]})" if name in _NAMED else _GAPS[name]]
        at = gap.end()
    return re.compile("".join([*parts, re.escape(pattern[at:])]))

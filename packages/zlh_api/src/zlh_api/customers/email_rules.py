"""What is an e-mail address: what mail systems hold, and no more. Pure.

RFC 5321 says how it is built. Beyond ASCII, RFC 6531 lets everything into the part before the @; the profile of Unicode
for mail (UTS #39) and what mail systems give out are letters, marks and digits, and IDNA says the same of a host. So a
picture is part of no address, nor is a letter that is not seen or that is written as another is. A host of one name is
one: mail within a house needs no dot.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS, MAX_LOCAL_BYTES, MAX_HOST_BYTES, MAX_LABEL_BYTES = 254, 64, 253, 63
_ATOM = frozenset("!#$%&'*+-/=?^_`{|}~")
# What Unicode calls letters, marks and decimal digits.
_WORD = ("L", "M", "Nd")
# Letters and marks of which nothing is seen: with one, an address would read like that of somebody else.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0000-\U000e0fff]")


def find_email_problem(text: str) -> str | None:
    """Return what is wrong with an address, as a sentence; None where mail could be sent to it."""
    if len(text) > MAX_CHARS:
        return f"It has {len(text)} characters, and an address has {MAX_CHARS} at most."
    local, at, host = text.rpartition("@")
    if not at or not local or not host or "@" in local:
        return "It is a name, one @ and a host."
    return _find_local_problem(local) or _find_host_problem(host)


def _find_local_problem(local: str) -> str | None:
    if "" in local.split("."):
        return "Before the @, a dot stands between two letters."
    if odd := next((char for char in local if not (char == "." or char in _ATOM or _is_word(char))), None):
        return f"{_show(odd)} cannot stand before the @."
    if len(local.encode()) > MAX_LOCAL_BYTES:
        return f"What stands before the @ has {MAX_LOCAL_BYTES} bytes at most."
    return None


def _find_host_problem(host: str) -> str | None:
    if odd := next((char for char in host if not (char in ".-" or _is_word(char))), None):
        return f"{_show(odd)} cannot stand in the host after the @."
    labels = host.split(".")
    if any(not label or label.startswith("-") or label.endswith("-") for label in labels):
        return "The host after the @ is names with dots between them, and none begins or ends with a dash."
    sizes = [_count_bytes(label) for label in labels]
    if max(sizes) > MAX_LABEL_BYTES or sum(sizes) + len(sizes) - 1 > MAX_HOST_BYTES:
        return f"The host after the @ has {MAX_HOST_BYTES} bytes at most, and each of its names {MAX_LABEL_BYTES}."
    return None


def _is_word(char: str) -> bool:
    # What is another letter in other clothes, such as a wide one, reads like that one.
    is_own = unicodedata.normalize("NFKC", char) == char
    return is_own and unicodedata.category(char).startswith(_WORD) and not _UNSEEN.match(char)


def _count_bytes(label: str) -> int:
    """Return how long a name of a host is as DNS holds it."""
    return len(label) if label.isascii() else len("xn--") + len(label.encode("punycode"))


def _show(char: str) -> str:
    """Return a letter so that it is seen whatever it is."""
    is_seen = char.isprintable() and not char.isspace() and unicodedata.normalize("NFKC", char) == char
    return f"'{char}'" if is_seen and not _UNSEEN.match(char) else f"U+{ord(char):04X}"

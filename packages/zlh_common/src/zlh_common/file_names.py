"""How the name of a file stands in text. On the disk it is bytes, in JSON and in an address it is letters.

A name that is UTF-8 stands as it is. A byte that is none stands as one letter, U+10FE80 to U+10FEFF, which no alphabet
uses: its last two digits are the byte. A name that really has such a letter has its four bytes written so, so that
every name has exactly one text, and every text that is a name exactly one name.
"""

from __future__ import annotations

import re

_FIRST = 0x10FE00
_ESCAPED = re.compile("[\U0010fe80-\U0010feff]")
_UNTOLD = re.compile("[\udc80-\udcff]")


def name_to_text(name: str) -> str:
    """Return the text for a name as Python holds it, whose bytes beyond UTF-8 are surrogates (PEP 383)."""
    escaped = _ESCAPED.sub(lambda found: "".join(chr(_FIRST + byte) for byte in found[0].encode()), name)
    return _UNTOLD.sub(lambda found: chr(_FIRST + ord(found[0]) - 0xDC00), escaped)


def text_to_name(text: str) -> str:
    """Return the name that a text stands for, as Python holds it; raise ValueError where it holds half a surrogate."""
    raw = bytearray()
    for letter in text:
        raw += bytes([ord(letter) - _FIRST]) if _ESCAPED.fullmatch(letter) else letter.encode()
    return raw.decode("utf-8", "surrogateescape")

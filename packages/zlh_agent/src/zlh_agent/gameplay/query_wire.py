"""The query protocol of Minecraft servers (UDP), rendered and parsed without any I/O.

First a challenge is asked for, then the full status with it. Source: the GameSpy 4 dialect of the Java edition.
"""

from __future__ import annotations

import re
import struct

from zlh_agent.gameplay.presence import MAX_ONLINE, Answer

_MAGIC, _CHALLENGE, _FULL = b"\xfe\xfd", 9, 0
_HEAD = struct.Struct(">Bi")
# Session ids have these bits alone.
SESSION_MASK = 0x0F0F0F0F
_PADDING = 11
_PLAYERS = b"\x00\x00\x01player_\x00\x00"
_NAME = re.compile(r"[A-Za-z0-9_.*-]{1,32}")


class NotAnAnswer(Exception):
    """What has come is no answer to this question."""


def render_challenge_request(session: int) -> bytes:
    """Return the first question."""
    return _MAGIC + _HEAD.pack(_CHALLENGE, session & SESSION_MASK)


def parse_challenge(data: bytes, session: int) -> int:
    """Return the challenge; raise NotAnAnswer."""
    body = _body(data, _CHALLENGE, session)
    text = body.partition(b"\x00")[0]
    if re.fullmatch(rb"-?[0-9]{1,10}", text) is None:
        raise NotAnAnswer
    return int(text)


def render_full_request(session: int, challenge: int) -> bytes:
    """Return the question for everything; the padding asks for the list of players."""
    number = struct.pack(">I", challenge & 0xFFFFFFFF)
    return _MAGIC + _HEAD.pack(_FULL, session & SESSION_MASK) + number + bytes(4)


def parse_full(data: bytes, session: int) -> Answer:
    """Return who plays; raise NotAnAnswer."""
    body = _body(data, _FULL, session)
    table, found, names = body[_PADDING:].partition(_PLAYERS)
    if not found:
        raise NotAnAnswer
    said = _read_table(table)
    count, most = _number(said.get(b"numplayers")), _number(said.get(b"maxplayers"))
    if count is None:
        raise NotAnAnswer
    listed = [name for name in _read_names(names) if _NAME.fullmatch(name)]
    whole = dict.fromkeys(listed)
    return Answer(count, most, tuple((name, None) for name in whole), is_whole=len(whole) == count)


def _body(data: bytes, kind: int, session: int) -> bytes:
    if len(data) < _HEAD.size or _HEAD.unpack_from(data) != (kind, session & SESSION_MASK):
        raise NotAnAnswer
    return data[_HEAD.size :]


def _read_table(table: bytes) -> dict[bytes, bytes]:
    words = table.split(b"\x00")
    return dict(zip(words[::2], words[1::2], strict=False))


def _read_names(names: bytes) -> list[str]:
    return [name.decode("utf-8", "replace") for name in names.split(b"\x00")[:MAX_ONLINE] if name]


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(rb"[0-9]{1,9}", text) else None

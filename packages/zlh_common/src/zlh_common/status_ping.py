"""The status ping of the Minecraft protocol, encoded and parsed without any I/O.

Two packets ask: a handshake that goes on to `status`, and the empty request; the answer is one packet with a JSON text.
Every number is a VarInt: seven bits a byte, the lowest first, the high bit set on all bytes but the last.
Source: the server list ping of the Java edition, since 1.7.
"""

from __future__ import annotations

import json
import struct

# -1 asks a server of any version.
_ANY_VERSION = b"\xff\xff\xff\xff\x0f"
_STATUS = b"\x01"
MAX_STATUS_BYTES = 64 * 1024


class NotAServer(Exception):
    """What answers is no Minecraft server."""


def render_varint(number: int) -> bytes:
    """Return a number from 0 on as VarInt."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def parse_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """Return (number, where it ends), or None where it is cut short; raise NotAServer beyond five bytes."""
    number = 0
    for index in range(5):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return number, at + index + 1
    raise NotAServer("it does not speak the Minecraft protocol")


def render_status_request(host: str, port: int) -> bytes:
    """Return both packets of a question."""
    name = host.encode()
    handshake = b"\x00" + _ANY_VERSION + render_varint(len(name)) + name + struct.pack(">H", port) + _STATUS
    return render_varint(len(handshake)) + handshake + b"\x01\x00"


def parse_status(data: bytes) -> dict[str, object] | None:
    """Return the status of a server, or None while its answer is not complete; raise NotAServer for anything else."""
    head = parse_varint(data, 0)
    if head is None:
        return None
    length, at = head
    if not 1 <= length <= MAX_STATUS_BYTES:
        raise NotAServer("it does not speak the Minecraft protocol")
    if len(data) < at + length:
        return None
    kind = parse_varint(data, at)
    text = parse_varint(data, kind[1]) if kind is not None and kind[0] == 0 else None
    if text is None or text[1] + text[0] > at + length:
        raise NotAServer("it does not speak the Minecraft protocol")
    try:
        status = json.loads(data[text[1] : text[1] + text[0]])
    except (ValueError, RecursionError) as exc:
        raise NotAServer("its status is no JSON") from exc
    if not isinstance(status, dict):
        raise NotAServer("its status is no JSON object")
    return status

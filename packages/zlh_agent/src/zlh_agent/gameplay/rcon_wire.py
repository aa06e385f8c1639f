"""The remote console of Minecraft servers, rendered and parsed without any I/O.

A packet is its length, an id, a kind, a text and two NUL bytes; numbers are little-endian. A long answer comes as
several packets of up to 4,096 bytes without a last one, so a second, empty question follows the first packet: what
comes with that question's id says that all has come.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOGIN, COMMAND = 3, 2
REFUSED_ID = -1
MAX_COMMAND_BYTES = 1446
MAX_PACKET_BYTES = 4096 + 16
_LENGTH = struct.Struct("<i")
_HEAD = struct.Struct("<ii")
_LEAST_BYTES = _HEAD.size + 2


class NotRcon(Exception):
    """What is there speaks something else."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet."""

    id: int
    kind: int
    text: str


def render_packet(packet: Packet) -> bytes:
    """Return a packet as it is sent."""
    body = _HEAD.pack(packet.id, packet.kind) + packet.text.encode() + b"\x00\x00"
    return _LENGTH.pack(len(body)) + body


def parse_packet(data: bytes) -> tuple[Packet, int] | None:
    """Return the first packet and where it ends, None while it is not complete; raise NotRcon."""
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if not _LEAST_BYTES <= length <= MAX_PACKET_BYTES:
        raise NotRcon
    end = _LENGTH.size + length
    if len(data) < end:
        return None
    number, kind = _HEAD.unpack_from(data, _LENGTH.size)
    text = data[_LENGTH.size + _HEAD.size : end].partition(b"\x00")[0]
    return Packet(number, kind, text.decode("utf-8", "replace")), end

"""Whole WebSocket frames of console output: built once, shared by all viewers, written in one piece.

aiohttp builds a header for each viewer and writes it apart from a payload beyond 16 KiB: twice the system calls and,
with TLS, twice the records. So a frame is made here with its header in front, and goes to the transport as it is.
`request.transport` and the writer that `prepare()` returns are aiohttp's public means for that. It mixes with aiohttp's
own sends, since both write whole frames only; a socket that compresses may not be written to in this way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from zlh_common.schema.console_wire import MAX_OFFSET, OFFSET_BYTES

_MAX_HEADER_BYTES = 10
# What stands before the output in a buffer that is to be sealed.
ROOM_BYTES = _MAX_HEADER_BYTES + OFFSET_BYTES
# Final frame, binary, unmasked: what a server sends.
_FINAL_BINARY = 0x82


@dataclass(frozen=True, slots=True)
class OutputFrame:
    """Console output from `start`, as the WebSocket frame that every viewer at this offset gets."""

    start: int
    size: int
    wire: bytes | memoryview

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.start + self.size

    @property
    def payload(self) -> memoryview:
        """The offset and the output, without the header."""
        return memoryview(self.wire)[len(self.wire) - OFFSET_BYTES - self.size :]

    @property
    def output(self) -> memoryview:
        """The output alone."""
        return self.payload[OFFSET_BYTES:]

    def part(self, start: int, end: int) -> OutputFrame:
        """Return the stretch [start, end) of it as a frame of its own; itself where that is all of it."""
        if (start, end) == (self.start, self.end):
            return self
        return render_frame(start, self.output[start - self.start : end - self.start])


def render_header(size: int) -> bytes:
    """Return the header of a binary frame with a payload of `size` bytes."""
    if size < 126:
        return bytes((_FINAL_BINARY, size))
    if size < 65536:
        return struct.pack("!BBH", _FINAL_BINARY, 126, size)
    return struct.pack("!BBQ", _FINAL_BINARY, 127, size)


def render_frame(start: int, output: bytes | memoryview) -> OutputFrame:
    """Return a frame with a copy of `output`."""
    head = render_header(OFFSET_BYTES + len(output)) + start.to_bytes(OFFSET_BYTES, "big")
    return OutputFrame(start, len(output), b"".join((head, output)))


def seal(buffer: bytearray, start: int) -> OutputFrame:
    """Return a frame around output that lies in `buffer` behind ROOM_BYTES, without a copy; nobody changes it after."""
    size = len(buffer) - ROOM_BYTES
    header = render_header(OFFSET_BYTES + size)
    begin = _MAX_HEADER_BYTES - len(header)
    buffer[begin:ROOM_BYTES] = header + start.to_bytes(OFFSET_BYTES, "big")
    return OutputFrame(start, size, memoryview(buffer)[begin:].toreadonly())


def parse_payload(payload: bytes) -> OutputFrame:
    """Return the frame for a payload that somebody has sent; raise ValueError where it is no output."""
    if len(payload) <= OFFSET_BYTES:
        raise ValueError(f"a console frame has more than {OFFSET_BYTES} bytes, this one has {len(payload)}")
    start, size = int.from_bytes(payload[:OFFSET_BYTES], "big"), len(payload) - OFFSET_BYTES
    if start + size > MAX_OFFSET:
        raise ValueError(f"offset {start} is beyond {MAX_OFFSET}")
    return OutputFrame(start, size, render_header(len(payload)) + payload)


class Transport(Protocol):
    """What is asked of `request.transport`."""

    def write(self, data: bytes | memoryview) -> None:
        """Take data, now or later."""
        ...

    def is_closing(self) -> bool:
        """Tell whether nothing more is taken."""
        ...

    def get_write_buffer_size(self) -> int:
        """Return how much waits."""
        ...


class Drain(Protocol):
    """What is asked of the writer that `prepare()` returns."""

    async def drain(self) -> None:
        """Wait while the transport has too much to write."""
        ...


class FrameWriter:
    """Writes whole frames to one client."""

    def __init__(self, transport: Transport | None, flow: Drain) -> None:
        self._transport = transport
        self._flow = flow

    def write_nowait(self, frame: OutputFrame) -> bool:
        """Give a frame to the transport in one piece; return whether it has all gone out.

        Raise ConnectionResetError where the client has gone. After False, `drain` before the next one.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(frame.wire)
        return self._transport.get_write_buffer_size() == 0

    async def write(self, frame: OutputFrame) -> None:
        """Give a frame to the transport, and wait until there is room for the next."""
        if not self.write_nowait(frame):
            await self._flow.drain()

    async def drain(self) -> None:
        """Wait until there is room for the next frame."""
        await self._flow.drain()

"""The console protocol `zlh.console.v1`: frames in both directions, encoded and parsed without any I/O.

Server to client, binary: 8 bytes big-endian absolute offset of the first byte, then output bytes.
Server to client, text: `hello`, `gap`, `state`, `exit`, `notice`, and `input` for one that has asked for it. Client to
server, binary: input bytes; text: `resize`, and from the API to an agent `redraw`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SUBPROTOCOL = "zlh.console.v1"
# `?confirm=input` of a client that wants to be told what becomes of its input; others do not know the message.
CONFIRM, CONFIRM_INPUT = "confirm", "input"
OFFSET_BYTES = 8
# What a client gets that names no offset: the last part of the history.
DEFAULT_REPLAY_BYTES = 64 * 1024
LIVE_ONLY = -1
# Whole numbers up to here are exact for every reader of JSON.
MAX_OFFSET = 2**53
# A client's frame beyond this closes the socket: nobody types that fast, and a paste is cut by the client.
MAX_INPUT_BYTES = 64 * 1024
# The size of a terminal is clamped to this, whatever a client says.
MAX_COLS, MAX_ROWS = 1000, 1000


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="hello"):
    """First message: which stream this is, and the stretch that is replayed before live output."""

    stream: str
    start: int = msgspec.field(name="from")
    to: int
    state: str
    # What becomes of the input of this connection is told; only to one that has asked for it.
    confirms: bool = False


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="gap"):
    """Bytes that the client will not get: they fell out of the ring, or it was too slow."""

    start: int = msgspec.field(name="from")
    to: int


class State(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    """The process behind the console has changed its state."""

    state: str


class Exit(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="exit"):
    """The process behind the console has ended; exactly one of the two is set."""

    code: int | None
    signal: str | None


class InputDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input"):
    """What has become of the input bytes of this connection, all in all and in their order.

    Taken is what the holder of the terminal has: the program gets it once, whoever else is killed meanwhile. Refused is
    what nothing was there to take, and nobody will get. What is neither when the connection ends may be either.
    """

    taken: int
    refused: int

    @property
    def total(self) -> int:
        """So much of the input has come to something."""
        return self.taken + self.refused


class Announcement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="notice"):
    """Something that people at this terminal should know and its program has not printed; clients show it beside."""

    code: str
    message: str


ServerMessage = Hello | Gap | State | Exit | InputDone | Announcement


class Resize(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resize", forbid_unknown_fields=True):
    """The client's window has this size now."""

    cols: int
    rows: int

    def clamped(self) -> Resize:
        """Return the size within what a terminal may have."""
        return Resize(cols=min(max(self.cols, 1), MAX_COLS), rows=min(max(self.rows, 1), MAX_ROWS))


class Redraw(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="redraw", forbid_unknown_fields=True):
    """Full-screen programs are to draw themselves anew: the API has one more viewer behind its one connection."""


_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_client_decoder: msgspec.json.Decoder[Resize] = msgspec.json.Decoder(Resize)
_agent_client_decoder: msgspec.json.Decoder[Resize | Redraw] = msgspec.json.Decoder(Resize | Redraw)
_encoder = msgspec.json.Encoder()


def render_output(offset: int, data: bytes | memoryview) -> bytes:
    """Return one binary frame: the offset of its first byte, then the bytes."""
    return offset.to_bytes(OFFSET_BYTES, "big") + data


def parse_output(frame: bytes) -> tuple[int, bytes]:
    """Return (offset, bytes) of a binary frame; raise ValueError where it is shorter than an offset."""
    if len(frame) < OFFSET_BYTES:
        raise ValueError(f"a console frame has at least {OFFSET_BYTES} bytes, this one has {len(frame)}")
    return int.from_bytes(frame[:OFFSET_BYTES], "big"), frame[OFFSET_BYTES:]


def render_message(message: ServerMessage | Resize | Redraw) -> str:
    """Return a text frame."""
    return _encoder.encode(message).decode()


def parse_server_message(text: str | bytes) -> ServerMessage:
    """Return what the server said; raise ValueError where it is no message of this protocol."""
    return _server_decoder.decode(text)


def parse_client_message(text: str | bytes) -> Resize:
    """Return what the client said, clamped; raise ValueError where it is no message of this protocol."""
    return _client_decoder.decode(text).clamped()


def parse_agent_client_message(text: str | bytes) -> Resize | Redraw:
    """Return what a client of an agent said, clamped; raise ValueError where it is nothing that it may say."""
    message = _agent_client_decoder.decode(text)
    return message.clamped() if isinstance(message, Resize) else message


def resume_point(asked: int | None, *, oldest: int, written: int) -> tuple[int, Literal["replay", "live", "gap"]]:
    """Return (first offset to send, how) for a client that asked for `asked`, with [oldest, written) on disk.

    None means the last 64 KiB, LIVE_ONLY nothing but what comes. An offset that has fallen out of the ring, or that
    was never written, yields "gap": the client is told what it misses.
    """
    if asked is None:
        return max(oldest, written - DEFAULT_REPLAY_BYTES), "replay"
    if asked == LIVE_ONLY:
        return written, "live"
    if asked < oldest:
        return oldest, "gap"
    if asked > written:
        return written, "gap"
    return asked, "replay"

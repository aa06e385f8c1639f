"""Whole WebSocket frames: what another implementation reads is what was put in, however it is built or cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from zlh_common.schema.console_wire import MAX_OFFSET, parse_output
from zlh_common.websocket_frames import ROOM_BYTES, OutputFrame, parse_payload, render_frame, seal

# Around each length at which the header takes another form.
SIZES = [1, 2, 116, 117, 118, 119, 65526, 65527, 65528, 65529, 131072]


def read(frame: OutputFrame) -> tuple[int, bytes]:
    """Return (offset, output) as a client of another library sees it."""
    stream = StreamReader()
    stream.feed_data(bytes(frame.wire))
    stream.feed_eof()
    parser = Frame.parse(stream.read_exact, mask=False)
    parsed = None
    try:
        while True:
            next(parser)
    except StopIteration as done:
        parsed = done.value
    assert (parsed.opcode, parsed.fin) == (Opcode.BINARY, True)
    assert next(stream.read_to_eof(1), b"") == b""
    return parse_output(parsed.data)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_read_by_another_library(size: int) -> None:
    """Rendered, sealed in place and taken from a payload: the same bytes on the wire."""
    output = bytes(range(256)) * (size // 256 + 1)
    output = output[:size]
    frame = render_frame(77, output)
    assert read(frame) == (77, output)
    assert (frame.start, frame.end, bytes(frame.output)) == (77, 77 + size, output)
    assert bytes(seal(bytearray(ROOM_BYTES) + output, 77).wire) == frame.wire
    assert parse_payload(bytes(frame.payload)) == frame


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_part_is_the_stretch_that_was_asked_for(output: bytes, data: st.DataObject) -> None:
    """At its own offset; the whole is the same object, which is what makes it shared."""
    frame = render_frame(1000, output)
    start = data.draw(st.integers(0, len(output) - 1))
    end = data.draw(st.integers(start + 1, len(output)))
    assert read(frame.part(1000 + start, 1000 + end)) == (1000 + start, output[start:end])
    assert frame.part(1000, frame.end) is frame


@pytest.mark.parametrize("payload", [b"", b"1234567", b"12345678", MAX_OFFSET.to_bytes(8, "big") + b"x"])
def test_a_payload_that_is_no_output_is_refused(payload: bytes) -> None:
    """Too short, empty, or beyond the last offset."""
    with pytest.raises(ValueError, match=r".+"):
        parse_payload(payload)

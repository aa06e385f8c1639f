"""The console protocol: frames come back as they were sent, and a resume neither repeats nor skips."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.schema.console_wire import (
    DEFAULT_REPLAY_BYTES,
    LIVE_ONLY,
    MAX_COLS,
    MAX_ROWS,
    Exit,
    Gap,
    Hello,
    Resize,
    ServerMessage,
    State,
    parse_client_message,
    parse_output,
    parse_server_message,
    render_message,
    render_output,
    resume_point,
)

offsets = st.integers(0, 2**64 - 1)
stretches = st.tuples(offsets, offsets).map(sorted)
messages: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(Hello, stream=st.uuids().map(str), start=offsets, to=offsets, state=st.text()),
    st.builds(Gap, start=offsets, to=offsets),
    st.builds(State, state=st.text()),
    st.builds(Exit, code=st.none() | st.integers(0, 255), signal=st.none() | st.just("SIGKILL")),
)


@given(offsets, st.binary())
def test_output_frame_comes_back(offset: int, data: bytes) -> None:
    """Offset and bytes survive the frame, also when it is built from a view."""
    assert parse_output(render_output(offset, data)) == (offset, data)
    assert render_output(offset, memoryview(data)) == render_output(offset, data)


@pytest.mark.parametrize("length", range(8))
def test_output_frame_shorter_than_an_offset_is_refused(length: int) -> None:
    """A cut frame is never read as output at offset 0."""
    with pytest.raises(ValueError, match="at least 8 bytes"):
        parse_output(b"\0" * length)


@given(messages)
def test_server_message_comes_back(message: ServerMessage) -> None:
    """Every message of the server is read as what it was."""
    assert parse_server_message(render_message(message)) == message


def test_messages_look_as_documented() -> None:
    """Clients in other languages rely on these keys."""
    hello = json.loads(render_message(Hello(stream="s", start=5, to=9, state="running")))
    assert hello == {"type": "hello", "stream": "s", "from": 5, "to": 9, "state": "running"}
    assert json.loads(render_message(Gap(start=1, to=2))) == {"type": "gap", "from": 1, "to": 2}
    assert json.loads(render_message(Exit(code=0, signal=None))) == {"type": "exit", "code": 0, "signal": None}


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_size_is_clamped_to_what_a_terminal_may_have(cols: int, rows: int) -> None:
    """Whatever a client says, the kernel is told a size that it can have."""
    size = parse_client_message(render_message(Resize(cols=cols, rows=rows)))
    assert 1 <= size.cols <= MAX_COLS
    assert 1 <= size.rows <= MAX_ROWS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"type":"exit","code":0,"signal":null}',
        '{"type":"resize","cols":80}',
        '{"type":"resize","cols":"80","rows":24}',
        '{"type":"resize","cols":80,"rows":24,"x":1}',
        '{"type":"resize","cols":1e99,"rows":24}',
    ],
)
def test_client_message_of_another_shape_is_refused(text: str) -> None:
    """A client cannot make the server guess."""
    with pytest.raises(ValueError):  # noqa: PT011 # the kind is the contract, msgspec has the words
        parse_client_message(text)


@given(st.none() | st.just(LIVE_ONLY) | offsets, stretches)
def test_resume_starts_within_what_is_there(asked: int | None, stretch: list[int]) -> None:
    """The first byte that is sent is on disk or the next to come, and only a gap moves a client who named an offset."""
    oldest, written = stretch
    start, how = resume_point(asked, oldest=oldest, written=written)
    assert oldest <= start <= written
    if asked not in {None, LIVE_ONLY}:
        assert (start == asked) == (how == "replay")


@given(stretches)
def test_no_offset_means_the_last_part(stretch: list[int]) -> None:
    """A new viewer gets 64 KiB of history, or all of it where there is less."""
    oldest, written = stretch
    start, how = resume_point(None, oldest=oldest, written=written)
    assert how == "replay"
    assert written - start == min(DEFAULT_REPLAY_BYTES, written - oldest)


@given(stretches)
def test_live_only_replays_nothing(stretch: list[int]) -> None:
    """-1 is the way to see only what comes."""
    oldest, written = stretch
    assert resume_point(LIVE_ONLY, oldest=oldest, written=written) == (written, "live")

"""What servers say about themselves, as the word of strangers."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.gameplay.presence import Answer
from zlh_agent.gameplay.query_wire import (
    NotAnAnswer,
    parse_challenge,
    parse_full,
    render_challenge_request,
    render_full_request,
)
from zlh_agent.gameplay.rcon_wire import MAX_PACKET_BYTES, NotRcon, Packet, parse_packet, render_packet
from zlh_agent.gameplay.status_answer import MAX_MOTD_CHARS, read_status
from zlh_agent.gameplay.telemetry import parse_ticks

UUID = "069a79f4-44e9-4726-a5be-fca90e38aaf5"
NOBODY = "00000000-0000-0000-0000-000000000000"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


def test_a_status_says_who_plays_and_what_the_server_is() -> None:
    """Colours and components of the message become one plain text."""
    status = {
        "version": {"name": "Paper 1.21.8", "protocol": 772},
        "players": {"max": 20, "online": 1, "sample": [{"name": "Alex", "id": UUID}]},
        "description": {"text": "\u00a7aHello ", "extra": [{"text": "wide "}, "world\n", {"text": "\u00a7l!"}]},
    }
    found = read_status(status)
    assert found.players == Answer(1, 20, (("Alex", UUID),), is_whole=True)
    assert (found.version, found.motd) == ("Paper 1.21.8", "Hello wide world !")


@pytest.mark.parametrize(
    ("sample", "is_whole"),
    [
        (None, False),
        ([], False),
        ([{"name": "Alex", "id": UUID}], False),
        (
            [{"name": "Alex", "id": UUID}, {"name": "Anonymous Player", "id": "0" * 8 + "-0000-0000-0000-" + "0" * 12}],
            False,
        ),
        ([{"name": "Alex", "id": UUID}, {"name": "\u00a7cBuy now", "id": UUID}], False),
        ([{"name": "Alex", "id": UUID}, {"name": "Alex", "id": UUID}], False),
        ([{"name": "Alex", "id": UUID}, {"name": "Steve", "id": "no id"}], True),
    ],
)
def test_a_sample_counts_only_where_it_names_everybody(sample: object, is_whole: bool) -> None:
    """It may be cut, hidden or an advertisement."""
    found = read_status({"players": {"online": 2, "max": 20, "sample": sample}})
    assert found.players is not None
    assert found.players.is_whole is is_whole


@pytest.mark.parametrize("online", [None, -1, True, "3", 1.5, 2**31, 10**30])
def test_a_number_that_is_none_is_no_answer(online: object) -> None:
    """Then the lines alone count."""
    assert read_status({"players": {"online": online}}).players is None


@given(st.dictionaries(st.sampled_from(["players", "version", "description"]), JSON))
def test_no_status_breaks_its_reader(status: dict[str, object]) -> None:
    """Of whatever types and however deep."""
    found = read_status(status)
    assert found.motd is None or (found.motd.isprintable() and len(found.motd) <= MAX_MOTD_CHARS)


def test_a_message_that_holds_itself_a_million_times_is_cut() -> None:
    """Components in components, and a text without end."""
    deep: object = "x"
    for _ in range(1000):
        deep = {"extra": [deep]}
    assert read_status({"description": deep}).motd is None
    long = read_status({"description": ["y" * 10_000] * 200}).motd
    assert long is not None
    assert len(long) == MAX_MOTD_CHARS


SESSION = 0x12345678
MASKED = struct.pack(">i", SESSION & 0x0F0F0F0F)
FULL = (
    b"\x00" + MASKED + b"splitnum\x00\x80\x00" + b"hostname\x00A server\x00numplayers\x002\x00maxplayers\x0020\x00\x00"
    b"\x01player_\x00\x00Alex\x00Steve\x00\x00"
)


def test_the_query_protocol_lists_everybody() -> None:
    """After a challenge, which goes back as a number."""
    assert render_challenge_request(SESSION) == b"\xfe\xfd\x09" + MASKED
    assert parse_challenge(b"\x09" + MASKED + b"-9513307\x00", SESSION) == -9513307
    request = render_full_request(SESSION, -9513307)
    assert request == b"\xfe\xfd\x00" + MASKED + struct.pack(">i", -9513307) + bytes(4)
    assert parse_full(FULL, SESSION) == Answer(2, 20, (("Alex", None), ("Steve", None)), is_whole=True)


@given(st.binary(max_size=200))
def test_datagrams_that_are_no_answer_are_passed_over(data: bytes) -> None:
    """Anybody can send one."""
    for parse in (parse_challenge, parse_full):
        with pytest.raises(NotAnAnswer):
            parse(data, SESSION)
        with contextlib.suppress(NotAnAnswer):
            parse(data[:1] + MASKED + data[1:], SESSION)


@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 3), st.text(st.characters(exclude_characters="\0"), max_size=300)
)
def test_packets_of_the_remote_console_come_back_as_they_were(number: int, kind: int, text: str) -> None:
    """Whole, cut at any byte, and with another behind."""
    packet = Packet(number, kind, text.encode("utf-8", "replace").decode())
    raw = render_packet(packet)
    assert parse_packet(raw + b"more") == (packet, len(raw))
    assert all(parse_packet(raw[:at]) is None for at in range(len(raw)))


@pytest.mark.parametrize("length", [-1, 0, 9, MAX_PACKET_BYTES + 1, 2**31 - 1])
def test_another_protocol_is_no_remote_console(length: int) -> None:
    """And nothing is waited for that never comes."""
    with pytest.raises(NotRcon):
        parse_packet(struct.pack("<i", length) + bytes(20))


def test_ticks_are_the_number_of_the_line_that_answers() -> None:
    """Other lines of the answer say other things."""
    pattern = "TPS from last 1m, 5m, 15m: {number}, {rest}"
    assert parse_ticks(pattern, "hello\nTPS from last 1m, 5m, 15m: 19.98, 20.0, 20.0") == 19.98
    painted = "\u00a76TPS from last 1m, 5m, 15m: \u00a7a*20.0, \u00a7a19.9\u00a7r, \x1b[32m20.0\x1b[m"
    assert parse_ticks(pattern, painted) == 20.0
    assert parse_ticks(pattern, "Unknown command") is None
    assert parse_ticks(pattern, "TPS from last 1m, 5m, 15m: 1.2.3, x") is None

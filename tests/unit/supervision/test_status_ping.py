"""The status ping, byte by byte."""

from __future__ import annotations

import json

import pytest

from zlh_common.status_ping import (
    MAX_STATUS_BYTES,
    NotAServer,
    parse_status,
    parse_varint,
    render_status_request,
    render_varint,
)

STATUS = {"version": {"name": "1.21.4", "protocol": 769}, "players": {"max": 20, "online": 0}, "description": "ü" * 200}


def answer(status: bytes, *, kind: bytes = b"\x00") -> bytes:
    body = kind + render_varint(len(status)) + status
    return render_varint(len(body)) + body


@pytest.mark.parametrize(
    ("number", "data"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (25565, "ddc701"), (2097151, "ffff7f")]
)
def test_varints_are_those_of_the_protocol(number: int, data: str) -> None:
    """The examples that the protocol's own description gives."""
    assert render_varint(number).hex() == data
    assert parse_varint(bytes.fromhex(data), 0) == (number, len(data) // 2)


def test_the_request_is_a_handshake_and_a_question() -> None:
    """Protocol -1, the address, the port, next state 1; then the empty packet."""
    assert render_status_request("127.0.0.1", 25565) == (
        b"\x13\x00\xff\xff\xff\xff\x0f\x09127.0.0.1\x63\xdd\x01" + b"\x01\x00"
    )


def test_an_answer_is_complete_at_its_last_byte_and_never_before() -> None:
    """For every place where it may be cut."""
    whole = answer(json.dumps(STATUS).encode())
    assert [parse_status(whole[:at]) for at in range(len(whole))] == [None] * len(whole)
    assert parse_status(whole) == STATUS
    assert parse_status(whole + b"more") == STATUS


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 100,
        b"\xff\xff\xff\xff\xff\xff",
        b"\x00",
        render_varint(MAX_STATUS_BYTES + 1),
        answer(b"{}", kind=b"\x05"),
        answer(b"[]"),
        answer(b"{"),
        answer(b"[" * 60_000),
        b"\x03\x00\x7f{",
    ],
)
def test_what_is_no_server_is_told_at_once(data: bytes) -> None:
    """Nothing waits for the rest of an answer that can have none."""
    with pytest.raises(NotAServer):
        parse_status(data)

"""SFTP as bytes: what is sent is what the protocol says, and nothing that a server sends does harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge import sftp_wire as wire


def text(content: bytes) -> bytes:
    """Return it with its length."""
    return struct.pack(">I", len(content)) + content


STATUS = bytes([101]) + struct.pack(">II", 7, 4) + text(b"Failure") + text(b"en")
ATTRIBUTES = struct.pack(">IQIIIII", 0x0F, 5, 1000, 1001, 0o100644, 11, 12)
NAMES = bytes([104]) + struct.pack(">II", 8, 1) + text(b"a\xff.yml") + text(b"-rw a") + ATTRIBUTES
REPLIES = {
    "status": (STATUS, 7, wire.Status(4, "Failure")),
    "bare status": (STATUS[:9], 7, wire.Status(4, "")),
    "handle": (bytes([102]) + struct.pack(">I", 9) + text(b"\0\1"), 9, wire.Handle(b"\0\1")),
    "data": (bytes([103]) + struct.pack(">I", 1) + text(b"xyz"), 1, wire.Data(b"xyz")),
    "names": (NAMES, 8, wire.Names(((b"a\xff.yml", wire.Attributes(5, 1000, 1001, 0o100644, 12)),))),
    "attributes": (bytes([105]) + struct.pack(">I", 3) + ATTRIBUTES, 3, wire.Attributes(5, 1000, 1001, 0o100644, 12)),
    "few attributes": (bytes([105]) + struct.pack(">II", 3, 0), 3, wire.Attributes()),
}


@pytest.mark.parametrize("what", REPLIES)
def test_answers_are_read(what: str) -> None:
    """Each kind of them; and cut anywhere it is an error, never another answer of more than was sent."""
    message, number, reply = REPLIES[what]
    assert wire.parse_reply(message) == (number, reply)
    for end in range(len(message)):
        try:
            found = wire.parse_reply(message[:end])[1]
        except wire.WireError:
            continue
        assert isinstance(found, wire.Status), (what, end)


@given(st.binary(max_size=200))
def test_nonsense_is_an_error_or_an_answer(message: bytes) -> None:
    """Nothing else comes out of it."""
    for parse in (wire.parse_reply, wire.parse_version, wire.parse_space):
        try:
            parse(message)
        except wire.WireError:
            continue


def test_a_listing_that_lies_about_its_length_is_refused() -> None:
    """Before anything is made of it."""
    with pytest.raises(wire.WireError, match="names in"):
        wire.parse_reply(bytes([104]) + struct.pack(">II", 8, 0xFFFF_FFFF))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 30))
def test_messages_are_found_however_they_are_cut(messages: list[bytes], size: int) -> None:
    """Each whole, in order, and what is left is the beginning of the next one."""
    stream, buffer, found = b"".join(map(text, messages)), bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        found += list(wire.split_messages(buffer))
    assert found == messages
    assert not buffer


@pytest.mark.parametrize("length", [0, wire.MOST_MESSAGE_BYTES + 1, 0xFFFF_FFFF])
def test_a_message_of_no_length_or_too_much_is_refused(length: int) -> None:
    """It is not waited for."""
    with pytest.raises(wire.WireError, match="a message of"):
        list(wire.split_messages(bytearray(struct.pack(">I", length))))


def test_the_greeting_names_the_extensions() -> None:
    """Of version 3 alone."""
    message = bytes([2]) + struct.pack(">I", 3) + text(wire.FSYNC) + text(b"1") + text(wire.POSIX_RENAME) + text(b"1")
    assert wire.parse_version(message) == {wire.FSYNC: b"1", wire.POSIX_RENAME: b"1"}
    with pytest.raises(wire.WireError, match="version 6"):
        wire.parse_version(bytes([2]) + struct.pack(">I", 6))


def test_a_request_is_what_the_protocol_says() -> None:
    """As the drafts have it: length, kind, number, and what it asks for."""
    request = wire.open_file(b"/x", wire.WRITE | wire.CREATE | wire.EXCLUSIVE, 0o644)
    body = bytes([3]) + struct.pack(">I", 5) + text(b"/x") + struct.pack(">III", 0x2A, 4, 0o644)
    assert wire.render_request(5, request) == text(body)
    rename = bytes([200]) + struct.pack(">I", 6) + text(b"posix-rename@openssh.com") + text(b"/a") + text(b"/b")
    assert wire.render_request(6, wire.posix_rename(b"/a", b"/b")) == text(rename)
    assert wire.render_init() == b"\0\0\0\5\1\0\0\0\3"

"""What the kernel is asked about sockets and answers, without a kernel."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from zlh_agent.ports import diag_wire as wire

OWN = frozenset({ip_address("10.0.0.5"), ip_address("fd00::5")})


def connection(local: str, peer: str) -> wire.Connection:
    """Return a connection of port 3000."""
    found = ip_address(local)
    family = wire.IPV4 if found.version == 4 else wire.IPV6
    return wire.Connection(found, 3000, ip_address(peer), 7, family, b"\1" * 48)


@pytest.mark.parametrize(
    ("local", "peer", "is_cut"),
    [
        ("10.0.0.5", "10.0.0.1", True),
        ("10.0.0.5", "10.0.0.5", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.5", False),
        ("fd00::5", "fd00::1", True),
        ("fd00::5", "fd00::5", False),
        ("::1", "::1", False),
    ],
)
def test_what_leads_out_of_a_container_is_cut(local: str, peer: str, *, is_cut: bool) -> None:
    """Whoever is connected from elsewhere is cut, in whatever way IPv4 is written; its own programs are not."""
    assert wire.is_to_be_cut(connection(local, peer), OWN, None) is is_cut


def test_on_a_shared_machine_its_own_address_alone_is_cut() -> None:
    """The same port of another container on the machine is nothing of ours."""
    mine = ip_address("127.77.3.1")
    assert wire.is_to_be_cut(connection("127.77.3.1", "127.0.0.1"), (), mine)
    assert wire.is_to_be_cut(connection("::ffff:127.77.3.1", "::ffff:127.0.0.1"), (), mine)
    assert not wire.is_to_be_cut(connection("127.77.3.2", "127.0.0.1"), (), mine)


def test_a_listener_is_never_asked_for() -> None:
    """What listens goes on, and what only remembers a connection has nobody."""
    states = struct.unpack_from("=I", wire.render_question(wire.IPV4, 3000), 20)[0]
    assert not states & (1 << 10)
    assert not states & (1 << 6)
    assert states & (1 << 1)


@pytest.mark.parametrize("cut", range(1, 16 + 72))
def test_what_is_cut_off_is_garbled(cut: int) -> None:
    """A part of a message is none: it is never read as another connection."""
    body = struct.pack("=BBBB", wire.IPV4, 1, 0, 0) + b"\0" * 48 + struct.pack("=IIIII", 0, 0, 0, 0, 9)
    whole = struct.pack("=IHHII", 16 + len(body), wire.SOCK_DIAG_BY_FAMILY, 2, 1, 0) + body
    assert [type(each) for each in wire.parse_answers(whole)] == [wire.Connection]
    with pytest.raises(wire.DiagGarbled):
        list(wire.parse_answers(whole[:cut]))


@pytest.mark.parametrize(
    ("attributes", "is_v6_only"),
    [
        (b"", False),
        (struct.pack("=HHBxxx", 5, 11, 1), True),
        (struct.pack("=HHBxxx", 5, 11, 0), False),
        # Behind others, of whatever length they say they have.
        (struct.pack("=HHBxxx", 5, 8, 0) + struct.pack("=HHBxxx", 5, 11, 1), True),
        (struct.pack("=HH", 0, 8) + struct.pack("=HHBxxx", 5, 11, 1), True),
        (struct.pack("=HH", 60_000, 8) + struct.pack("=HHBxxx", 5, 11, 1), False),
        (struct.pack("=HH", 5, 11), False),
    ],
)
def test_a_socket_of_ipv6_alone_is_told(attributes: bytes, *, is_v6_only: bool) -> None:
    """What the kernel adds to a socket that listens; nothing that is cut off is read."""
    body = struct.pack("=BBBB", wire.IPV6, 10, 0, 0) + b"\0" * 48 + struct.pack("=IIIII", 0, 0, 0, 0, 9) + attributes
    whole = struct.pack("=IHHII", 16 + len(body), wire.SOCK_DIAG_BY_FAMILY, 2, 1, 0) + body
    (found,) = wire.parse_answers(whole)
    assert isinstance(found, wire.Connection)
    assert found.is_v6_only is is_v6_only

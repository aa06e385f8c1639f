"""What the kernel is asked about TCP sockets, and what it answers: messages of `sock_diag(7)`, pure.

    request   nlmsghdr (16) · inet_diag_req_v2 (56): family, protocol, states, inet_diag_sockid
    answer    nlmsghdr (16) · inet_diag_msg (72): family, state, inet_diag_sockid, …, inode; then attributes
    sockid    ports (big endian), addresses (16 bytes each, IPv4 in the first four), interface, cookie

Numbers of the header are in the machine's own order, ports and addresses in the network's.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP = 0x01, 0x04, 0x300
IPV4, IPV6, TCP = 2, 10, 6
# Every state in which there is somebody at the other end: neither a listener nor what only remembers that there was.
_TIME_WAIT, _CLOSE, _LISTEN = 6, 7, 10
CONNECTED = sum(1 << state for state in range(1, 13) if state not in {_TIME_WAIT, _CLOSE, _LISTEN})
LISTENING = 1 << _LISTEN

_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH")
_ANSWER_HEAD = struct.Struct("=BBBB")
_ANSWER_TAIL = struct.Struct("=IIIII")
_SOCKET_ID_BYTES = 48
_ATTRIBUTE = struct.Struct("=HH")
_V6_ONLY = 11
_ADDRESSES = slice(4, 36)
_NUMBER = struct.Struct("=i")
_END_BYTES = _HEADER.size + _NUMBER.size

Address = IPv4Address | IPv6Address


class DiagGarbled(Exception):
    """The answer is none that a kernel gives."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a TCP connection of this machine, or a socket that waits for some."""

    local: Address
    port: int
    peer: Address
    # 0 where no program has taken it up yet.
    inode: int
    family: int
    # By which the kernel knows it again, and no later one.
    socket_id: bytes
    # It listens, and takes nothing of IPv4 though it is bound to all addresses.
    is_v6_only: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The kernel says no, or with 0 that it is done."""

    errno: int


@dataclass(frozen=True, slots=True)
class End:
    """There is no more."""


Answer = Connection | Refusal | End


def render_question(family: int, port: int) -> bytes:
    """Return the request for all connections of a local port."""
    socket_id = _PORTS.pack(port, 0).ljust(_SOCKET_ID_BYTES - 8, b"\0") + b"\xff" * 8
    return _render(SOCK_DIAG_BY_FAMILY, REQUEST | DUMP, family, socket_id, CONNECTED)


def render_listening(family: int) -> bytes:
    """Return the request for all sockets that listen."""
    socket_id = b"\0" * (_SOCKET_ID_BYTES - 8) + b"\xff" * 8
    return _render(SOCK_DIAG_BY_FAMILY, REQUEST | DUMP, family, socket_id, LISTENING)


def render_end(connection: Connection) -> bytes:
    """Return the order to end a connection."""
    return _render(SOCK_DESTROY, REQUEST | ACK, connection.family, connection.socket_id, CONNECTED)


def parse_answers(datagram: bytes) -> Iterator[Answer]:
    """Yield the messages of one datagram; raise DiagGarbled."""
    while datagram:
        if len(datagram) < _HEADER.size:
            raise DiagGarbled("a message is cut off")
        length, kind, _, _, _ = _HEADER.unpack_from(datagram)
        if not _HEADER.size <= length <= len(datagram):
            raise DiagGarbled(f"a message of {length} bytes")
        yield from _parse_message(kind, datagram[_HEADER.size : length])
        datagram = datagram[(length + 3) & ~3 :]


def is_last(datagram: bytes) -> bool:
    """Tell whether no datagram follows this one, without reading all of it: its last message says so, or its first."""
    if len(datagram) < _END_BYTES:
        return True
    _, first, _, _, _ = _HEADER.unpack_from(datagram)
    length, last, _, _, _ = _HEADER.unpack_from(datagram, len(datagram) - _END_BYTES)
    return bool(first == ERROR or (length == _END_BYTES and last == DONE))


def is_to_be_cut(connection: Connection, own: Collection[Address], address: Address | None) -> bool:
    """Tell whether a connection leads out of the container.

    `own` are the addresses of the container, whose programs may go on talking to each other. Where it shares its
    machine with others, `address` is the one that is its own: nothing else is touched, and all that leads there is cut.
    """
    local, peer = _plain(connection.local), _plain(connection.peer)
    if address is not None:
        return local == address
    return not peer.is_loopback and peer not in own


def _plain(address: Address) -> Address:
    """Return an IPv4 address that a socket of IPv6 shows as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _render(kind: int, flags: int, family: int, socket_id: bytes, states: int) -> bytes:
    body = _QUESTION.pack(family, TCP, 0, states) + socket_id
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _parse_message(kind: int, body: bytes) -> Iterator[Answer]:
    if kind == DONE:
        # What a dump broke off with stands there; 0 where it is whole.
        number = _NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
        yield Refusal(-number) if number < 0 else End()
    elif kind == ERROR:
        if len(body) < _NUMBER.size:
            raise DiagGarbled("a refusal without a number")
        yield Refusal(-_NUMBER.unpack_from(body)[0])
    elif kind == SOCK_DIAG_BY_FAMILY:
        yield _parse_connection(body)


def _parse_connection(body: bytes) -> Connection:
    if len(body) < _ANSWER_HEAD.size + _SOCKET_ID_BYTES + _ANSWER_TAIL.size:
        raise DiagGarbled(f"a socket of {len(body)} bytes")
    family = _ANSWER_HEAD.unpack_from(body)[0]
    socket_id = body[_ANSWER_HEAD.size : _ANSWER_HEAD.size + _SOCKET_ID_BYTES]
    width = {IPV4: 4, IPV6: 16}.get(family)
    if width is None:
        raise DiagGarbled(f"family {family}")
    source, destination = socket_id[_ADDRESSES][:16], socket_id[_ADDRESSES][16:]
    tail = _ANSWER_HEAD.size + _SOCKET_ID_BYTES
    inode = _ANSWER_TAIL.unpack_from(body, tail)[-1]
    port = _PORTS.unpack_from(socket_id)[0]
    local, peer = ip_address(source[:width]), ip_address(destination[:width])
    is_v6_only = _has_flag(body[tail + _ANSWER_TAIL.size :], _V6_ONLY)
    return Connection(local, port, peer, inode, family, socket_id, is_v6_only)


def _has_flag(attributes: bytes, wanted: int) -> bool:
    """Tell whether an attribute of one byte is there, and not 0; what is cut off has none."""
    while len(attributes) > _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == wanted:
            return attributes[_ATTRIBUTE.size] != 0
        attributes = attributes[max(_ATTRIBUTE.size, (length + 3) & ~3) :]
    return False

"""The kernel's own list of TCP sockets, by netlink: listed by anybody, ended by who may administer the network."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator

from zlh_agent.ports.diag_wire import (
    IPV4,
    IPV6,
    Connection,
    DiagGarbled,
    End,
    Refusal,
    is_last,
    parse_answers,
    render_end,
    render_listening,
    render_question,
)

NETLINK_SOCK_DIAG = 4
# The kernel answers at once; one that does not is broken.
TIMEOUT_S = 2.0
_BUFFER_BYTES = 256 * 1024


class KernelList:
    """An open question to the kernel; blocking, so for threads."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self._socket.settimeout(TIMEOUT_S)

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def fetch(self, port: int) -> list[Connection]:
        """Return all connections of a local port, of both families; raise OSError."""
        return [
            found
            for family in (IPV4, IPV6)
            for found in self._fetch(render_question(family, port))
            if found.port == port
        ]

    def end(self, connection: Connection) -> bool:
        """End a connection for both of its ends; False where it was over already. Raise OSError where we may not."""
        self._socket.send(render_end(connection))
        for answer in self._answers():
            if isinstance(answer, Refusal):
                if answer.errno == errno.ENOENT:
                    return False
                if answer.errno:
                    raise OSError(answer.errno, "the kernel does not end it")
                return True
        raise AssertionError

    def _fetch(self, question: bytes) -> Iterator[Connection]:
        self._socket.send(question)
        for answer in self._answers():
            match answer:
                case Connection():
                    yield answer
                case Refusal(errno=errno.ENOENT) | End():
                    # A kernel without that family has nothing of it.
                    return
                case Refusal():
                    raise OSError(answer.errno, "the kernel does not list its sockets")

    def _answers(self) -> Iterator[Connection | Refusal | End]:
        while True:
            datagram, sender = self._socket.recvfrom(_BUFFER_BYTES)
            # Any process may send to this socket; the kernel alone is 0.
            if sender[0] != 0:
                continue
            try:
                yield from parse_answers(datagram)
            except DiagGarbled as exc:
                raise OSError(errno.EBADMSG, str(exc)) from exc


class ListeningList:
    """The sockets that listen, again and again, on the event loop: the kernel answers while it is asked."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def fetch(self) -> tuple[bytes, ...]:
        """Return the kernel's answers for both families, as they came; raise OSError.

        They are the same bytes as long as nothing has changed, so most of them need not be read.
        """
        return tuple(datagram for family in (IPV4, IPV6) for datagram in self._fetch(family))

    def _fetch(self, family: int) -> Iterator[bytes]:
        self._socket.send(render_listening(family))
        is_over = False
        while not is_over:
            datagram, sender = self._socket.recvfrom(_BUFFER_BYTES)
            if sender[0] == 0:
                is_over = is_last(datagram)
                yield datagram


def read_listening(datagrams: Iterable[bytes]) -> list[Connection]:
    """Return the sockets of such answers; raise OSError where the kernel refuses."""
    found = []
    for datagram in datagrams:
        try:
            answers = list(parse_answers(datagram))
        except DiagGarbled as exc:
            raise OSError(errno.EBADMSG, str(exc)) from exc
        for answer in answers:
            if isinstance(answer, Connection):
                found.append(answer)
            elif isinstance(answer, Refusal) and answer.errno not in {0, errno.ENOENT}:
                raise OSError(answer.errno, "the kernel does not list its sockets")
    return found

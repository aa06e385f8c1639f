"""The kernel's own list of TCP sockets, by netlink: listed by anybody, ended by who may administer the network."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from zlh_agent.ports.diag_wire import (
    IPV4,
    IPV6,
    Connection,
    DiagGarbled,
    End,
    Refusal,
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

    def fetch_listening(self) -> list[Connection]:
        """Return all sockets that listen, of both families; raise OSError."""
        return [found for family in (IPV4, IPV6) for found in self._fetch(render_listening(family))]

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

"""Passes bytes on between what comes in and a program of the container, many connections at once.

Each connection is two ends. What is read of one is written to the other at once, and nothing more is read as long as
that does not take it: a slow reader slows its own sender down and holds one block here. The end of what one says is
passed on, and the other may go on speaking. A failure of either is a reset of both.
"""

from __future__ import annotations

import _socket
import errno
import select
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# At once; whoever comes then waits in the kernel until somebody goes.
MOST_CONNECTIONS = 2000
_MOST_BLOCK, _LEAST_BLOCK, _HELD_BYTES = 256 * 1024, 16 * 1024, 64 * 1024 * 1024
_MOST_EVENTS, _ACCEPTS = 256, 32
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_RESET = struct.pack("ii", 1, 0)
# Whoever has vanished without a word is found out within two minutes.
_KEEPALIVE = ((_socket.TCP_KEEPIDLE, 60), (_socket.TCP_KEEPINTVL, 15), (_socket.TCP_KEEPCNT, 4))


def share_of(ends: int) -> int:
    """Return how much is read at once of one of so many ends, all of which may have to be held: in all 64 MiB."""
    return max(_LEAST_BLOCK, min(_MOST_BLOCK, _HELD_BYTES // ends))


class _Door:
    """A port that is led somewhere: the socket that listens, while there is one, and where what comes is led."""

    __slots__ = ("ends", "port", "socket", "target")

    def __init__(self, port: int, target: str, listening: _socket.socket | None) -> None:
        self.port = port
        self.target = target
        self.socket = listening
        # Of each connection, the end that came in.
        self.ends: set[_End] = set()


class _End:
    """One of the two sockets of a connection."""

    __slots__ = ("door", "has_ended", "held", "interest", "is_connected", "other", "socket")

    other: _End

    def __init__(self, sock: _socket.socket, door: _Door, *, is_connected: bool) -> None:
        self.socket = sock
        self.door = door
        self.is_connected = is_connected
        # What this end has not taken yet.
        self.held = b""
        # It says nothing more, and the other end was told so.
        self.has_ended = False
        # What the kernel is asked about it; 0 is not at all, or an end that is over would wake us for ever.
        self.interest = 0


class Forwarding:
    """All ports that are led on, and their connections."""

    def __init__(self, control: _socket.socket, most: int = MOST_CONNECTIONS) -> None:
        self._control = control
        self._most = most
        self._poll = select.epoll()
        self._poll.register(control.fileno(), _READ)
        self._doors: dict[int, _Door] = {}
        self._listening: dict[int, _Door] = {}
        self._ends: dict[int, _End] = {}
        self._is_full = False
        self._block = memoryview(bytearray(_MOST_BLOCK))

    def serve(self, on_control: Callable[[], bool]) -> None:
        """Pass on until `on_control`, which is called when there is a message, says that it was the last."""
        while True:
            for fd, events in self._poll.poll(maxevents=_MOST_EVENTS):
                if fd == self._control.fileno():
                    if not on_control():
                        return
                elif fd in self._listening:
                    self._accept(self._listening[fd])
                elif fd in self._ends:
                    self._note(self._ends[fd], events)

    def lead(self, port: int, target: str, listening: _socket.socket | None) -> None:
        """Lead what comes to a port to an address from now on."""
        door = self._doors.get(port)
        if door is None:
            door = self._doors[port] = _Door(port, target, None)
        door.target = target
        if listening is not None:
            self._stop_listening(door)
            listening.setblocking(False)
            door.socket = listening
            self._listening[listening.fileno()] = door
            if not self._is_full:
                self._poll.register(listening.fileno(), _READ)

    def close(self, port: int) -> None:
        """Take no new connection of a port."""
        door = self._doors.get(port)
        if door is not None:
            self._stop_listening(door)
            if not door.ends:
                del self._doors[port]

    def cut(self, port: int) -> int:
        """End every connection of a port, those that wait to be taken included; return how many."""
        door = self._doors.get(port)
        if door is None:
            return 0
        ended = 0
        while (waiting := _take(door.socket)) is not None:
            _reset(waiting)
            ended += 1
        for end in list(door.ends):
            self._end(end, is_broken=True)
            ended += 1
        return ended

    def _stop_listening(self, door: _Door) -> None:
        if door.socket is not None:
            if not self._is_full:
                self._poll.unregister(door.socket.fileno())
            del self._listening[door.socket.fileno()]
            door.socket.close()
            door.socket = None

    def _accept(self, door: _Door) -> None:
        for _ in range(_ACCEPTS):
            if len(self._ends) >= 2 * self._most:
                self._take_a_rest()
                return
            client = _take(door.socket)
            if client is None:
                return
            self._begin(client, door)

    def _begin(self, client: _socket.socket, door: _Door) -> None:
        family = _socket.AF_INET6 if ":" in door.target else _socket.AF_INET
        server = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            _settle(client)
            _settle(server)
            is_connected = _connect(server, door)
        except OSError:
            _reset(client)
            server.close()
            return
        outer, inner = _End(client, door, is_connected=True), _End(server, door, is_connected=is_connected)
        outer.other, inner.other = inner, outer
        door.ends.add(outer)
        for end in (outer, inner):
            self._ends[end.socket.fileno()] = end
        self._ask(outer)

    def _take_a_rest(self) -> None:
        self._is_full = True
        for fd in self._listening:
            self._poll.unregister(fd)

    def _note(self, end: _End, events: int) -> None:
        try:
            if events & ~_READ and end.interest & _WRITE:
                self._write(end)
            if events & ~_WRITE and end.interest & _READ:
                self._read(end)
        except OSError as exc:
            if exc.errno == errno.EAGAIN:
                return
            self._end(end, is_broken=True)
            return
        if end.has_ended and end.other.has_ended and not end.held and not end.other.held:
            self._end(end, is_broken=False)
        else:
            self._ask(end)

    def _read(self, end: _End) -> None:
        other, block = end.other, self._block[: share_of(len(self._ends))]
        size = end.socket.recv_into(block)
        if not size:
            end.has_ended = True
            other.socket.shutdown(_socket.SHUT_WR)
            return
        try:
            sent = other.socket.send(block[:size])
        except BlockingIOError:
            sent = 0
        if sent < size:
            other.held = bytes(block[sent:size])

    def _write(self, end: _End) -> None:
        if not end.is_connected:
            failed = end.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if failed:
                raise OSError(failed, "refused")
            end.is_connected = True
        if end.held:
            end.held = end.held[end.socket.send(end.held) :]

    def _ask(self, end: _End) -> None:
        """Ask the kernel about both ends what there is to do for them now."""
        for each in (end, end.other):
            reads = not each.has_ended and each.is_connected and each.other.is_connected and not each.other.held
            writes = bool(each.held) or not each.is_connected
            interest = reads * _READ | writes * _WRITE
            if interest == each.interest:
                continue
            if not interest:
                self._poll.unregister(each.socket.fileno())
            elif each.interest:
                self._poll.modify(each.socket.fileno(), interest)
            else:
                self._poll.register(each.socket.fileno(), interest)
            each.interest = interest

    def _end(self, end: _End, *, is_broken: bool) -> None:
        door = end.door
        for each in (end, end.other):
            door.ends.discard(each)
            del self._ends[each.socket.fileno()]
            if each.interest:
                self._poll.unregister(each.socket.fileno())
            if is_broken:
                _reset(each.socket)
            else:
                each.socket.close()
        if door.socket is None and not door.ends:
            self._doors.pop(door.port, None)
        if self._is_full:
            self._is_full = False
            for fd in self._listening:
                self._poll.register(fd, _READ)


def _take(listening: _socket.socket | None) -> _socket.socket | None:
    """Return the next connection that waits; None where none does."""
    if listening is None:
        return None
    while True:
        try:
            fd, _ = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket` itself calls
        except ConnectionAbortedError:
            continue
        except OSError:
            return None
        return _socket.socket(fileno=fd)


def _connect(sock: _socket.socket, door: _Door) -> bool:
    """Begin to connect to where a door leads; tell whether that is done already."""
    try:
        sock.connect((door.target, door.port))
    except BlockingIOError:
        return False
    return True


def _settle(sock: _socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(_socket.IPPROTO_TCP, option, value)


def _reset(sock: _socket.socket) -> None:
    """Close so that the other side sees a connection that broke, and nothing of it stays here."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)
    sock.close()

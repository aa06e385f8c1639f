"""Attached agents: their sockets, what they have yet to read, and the doorbell that tells them of output.

Nothing is waited for and little is kept: one that does not read what it has asked for is cut off. A doorbell is left
out while an earlier word is unread, since whoever reads that looks at the ring anyway. What an agent has sent is obeyed
to its end, however that agent ended: it may have told somebody that it is done.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import select
import struct
import termios

from zlh_agent.shim import shim_wire as wire
from zlh_agent.shim.ring import BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zlh_agent.shim.loop import Loop

# An agent, the one that replaces it, and somebody who looks; more would be a mistake.
MAX_PEERS = 4
# What a peer may leave unread of what it has asked for, before it is cut off. Doorbells never add up to this.
MAX_UNREAD_BYTES = 256 * 1024

_NOTHING_UNREAD = bytes(4)
_CREDENTIALS = struct.Struct("3i")


class Peer:
    """One attached agent."""

    __slots__ = ("accepted", "feed", "has_news", "is_cut", "out", "reported", "request_id", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.feed = wire.FrameFeed()
        self.out = bytearray()
        # Input bytes of this peer that the child's terminal has taken, and how many of them it was told about.
        self.accepted = 0
        self.reported = 0
        self.has_news = False
        # It hears nothing any more; what it has sent before is still read.
        self.is_cut = False
        # On whose behalf it orders; empty where it is nobody's.
        self.request_id = ""

    def has_unread(self) -> bool:
        """Tell whether the other side has yet to read something: it will look at the ring after that anyway."""
        return fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, _NOTHING_UNREAD) != _NOTHING_UNREAD


class Peers:
    """All attached agents; `obey` is called with every frame, and may raise WireError to cut its sender off."""

    def __init__(
        self,
        loop: Loop,
        listener: _socket.socket,
        *,
        greet: Callable[[], bytes],
        obey: Callable[[Peer, int, bytes], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._greet = greet
        self._obey = obey
        self._peers: dict[int, Peer] = {}
        loop.watch(listener.fileno(), select.POLLIN, self._on_connect)

    def note_output(self) -> None:
        """There is something new in the ring."""
        for peer in self._peers.values():
            peer.has_news = True

    def ring_doorbells(self, written: int) -> None:
        """Tell each agent about new output, unless it has yet to read what it was told before."""
        for peer in list(self._peers.values()):
            owed = peer.accepted - peer.reported
            if owed < wire.ACCEPT_STEP_BYTES and (not peer.has_news or peer.out or peer.has_unread()):
                continue
            peer.has_news = False
            peer.reported = peer.accepted
            self.send(peer, wire.render_progress(written, peer.accepted))

    def tell(self, frame: bytes) -> None:
        """Send a frame to everybody."""
        for peer in list(self._peers.values()):
            self.send(peer, frame)

    def send(self, peer: Peer, frame: bytes) -> None:
        """Send a frame; a peer that leaves too much unread is cut off."""
        if peer.is_cut:
            return
        peer.out += frame
        if len(peer.out) > MAX_UNREAD_BYTES:
            self._cut(peer)
        else:
            self._flush(peer)

    def _on_connect(self, _events: int) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what socket.accept calls
        except OSError:
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid != os.geteuid() or len(self._peers) >= MAX_PEERS:
            sock.close()
            return
        peer = Peer(sock)
        self._peers[fd] = peer
        self._loop.watch(fd, select.POLLIN, lambda events: self._on_peer(peer, events))
        self.send(peer, self._greet())

    def _on_peer(self, peer: Peer, events: int) -> None:
        if events & select.POLLOUT:
            self._flush(peer)
        if not events & ~select.POLLOUT:
            return
        try:
            data = peer.sock.recv(BLOCK_BYTES)
            for kind, body in peer.feed.feed(data):
                self._obey(peer, kind, body)
        except BlockingIOError:
            return
        except (OSError, wire.WireError):
            data = b""
        if not data:
            self._drop(peer)

    def _flush(self, peer: Peer) -> None:
        try:
            while peer.out:
                del peer.out[: peer.sock.send(peer.out)]
        except BlockingIOError:
            pass
        except OSError:
            self._cut(peer)
        self._loop.change(peer.sock.fileno(), select.POLLIN | select.POLLOUT if peer.out else select.POLLIN)

    def _cut(self, peer: Peer) -> None:
        """Say nothing more to a peer, and take nothing more from it; the reader meets the end after what was sent."""
        peer.is_cut = True
        peer.out.clear()
        try:  # noqa: SIM105 - contextlib would cost the shim 3 ms
            peer.sock.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone by itself

    def _drop(self, peer: Peer) -> None:
        fd = peer.sock.fileno()
        if self._peers.pop(fd, None) is not None:
            self._loop.unwatch(fd)
            peer.sock.close()

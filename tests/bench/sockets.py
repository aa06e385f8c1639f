"""A WebSocket client that costs next to nothing: blocking, without a library, so that the server is what is measured.

The same client is used for us and for the peers, with TLS or without.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

BUFFER_BYTES = 1 << 20
TIMEOUT_S = 60.0
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


@dataclass(frozen=True)
class Address:
    """Where a terminal is, and how one asks for it."""

    host: str
    port: int
    path: str
    subprotocol: str = ""
    token: str = ""
    tls: ssl.SSLContext | None = None
    name: str = ""


def dial(address: Address) -> socket.socket:
    """Return a connection, with TLS where the address wants it."""
    plain = socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return address.tls.wrap_socket(plain, server_hostname=address.name) if address.tls else plain


class WebSocket:
    """One open WebSocket."""

    def __init__(self, address: Address) -> None:
        self._socket = dial(address)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._upgrade(address)

    def close(self) -> None:
        """Go without a goodbye."""
        self._socket.close()

    def send(self, payload: bytes, *, opcode: int = BINARY) -> None:
        """Send one frame, masked with zeros as the protocol allows."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        self._socket.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def send_json(self, value: object) -> None:
        """Send one text frame."""
        self.send(json.dumps(value).encode(), opcode=TEXT)

    def frames(self) -> Iterator[tuple[int, memoryview]]:
        """Yield (opcode, payload); a payload is good until the next one is asked for. Ends with the connection."""
        while True:
            head = self._take(2)
            size = head[1] & 127
            opcode = head[0] & 15
            if size == 126:
                size = int.from_bytes(self._take(2), "big")
            elif size == 127:
                size = int.from_bytes(self._take(8), "big")
            payload = self._take(size)
            if opcode == CLOSE:
                return
            if opcode == PING:
                self.send(bytes(payload), opcode=10)
                continue
            yield opcode, payload

    def _take(self, count: int) -> memoryview:
        if self._end - self._start < count:
            if count > len(self._buffer):
                raise ValueError(f"a frame of {count} bytes is too large for this client")
            if self._start + count > len(self._buffer):
                rest = bytes(self._view[self._start : self._end])
                self._view[: len(rest)] = rest
                self._start, self._end = 0, len(rest)
            while self._end - self._start < count:
                received = self._socket.recv_into(self._view[self._end :])
                if not received:
                    raise ConnectionError("the server has closed the connection")
                self._end += received
        taken = self._view[self._start : self._start + count]
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0
        return taken

    def _upgrade(self, address: Address) -> None:
        lines = [
            f"GET {address.path} HTTP/1.1",
            f"Host: {address.host}:{address.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        if address.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {address.subprotocol}")
        if address.token:
            lines.append(f"Authorization: Bearer {address.token}")
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            if not byte:
                raise ConnectionError(f"no upgrade: {head.decode('latin-1')}")
            head += byte
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(f"no upgrade: {head.decode('latin-1')}")

"""Thousands of agents in one process: mutual TLS, the event stream as the real agent speaks it, and GET /status.

Started by the bench with a file that says who lives at which address. Of the reports, each tenth second by every agent,
one in five says something new; each minute comes a sample.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import socket
import ssl
import sys
from asyncio import sslproto
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.real_api import make_report
from fakes.history import sample
from zlh_common.schema.agent_events import MetricsEvent, StatusEvent
from zlh_common.schema.structs import encode

PERIOD_S, TICK_S = 10.0, 0.02
NEW_SHARE = 0.2
SAMPLES_EACH = 6
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING, PONG = 0x9, 0xA


@dataclass(frozen=True)
class Crowd:
    """What the file says."""

    port: int
    certificate: str
    key: str
    client_ca: str
    # By address.
    owners: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> Crowd:
        """Read it."""
        document: dict[str, Any] = json.loads(path.read_text())
        return cls(**document)

    def context(self) -> ssl.SSLContext:
        """Return the context of the listener, as the agent has it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.client_ca)
        context.load_cert_chain(self.certificate, self.key)
        context.num_tickets = 0
        return context


class Agent(asyncio.Protocol):
    """One connection to one agent."""

    def __init__(self, crowd: Crowd, streams: set[Agent]) -> None:
        self._crowd = crowd
        self._streams = streams
        self._came = bytearray()
        self._is_stream = False
        self._reports = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find out who is dialled."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        address = transport.get_extra_info("sockname")[0]
        self._report = make_report(self._crowd.owners[address])

    def connection_lost(self, exc: Exception | None) -> None:
        """Say no more."""
        self._streams.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer a request, or a ping."""
        self._came += data
        if self._is_stream:
            self._answer_frames()
        elif b"\r\n\r\n" in self._came:
            head, _, rest = bytes(self._came).partition(b"\r\n\r\n")
            self._came = bytearray(rest)
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if not head.startswith(b"GET /events"):
            body = encode(self._next_report())
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            return
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = next(value for name, value in fields.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._is_stream = True
        self._streams.add(self)
        self.tell()

    def _answer_frames(self) -> None:
        while len(self._came) >= 6:
            size = self._came[1] & 0x7F
            if len(self._came) < 6 + size:
                return
            if self._came[0] & 0xF == PING:
                mask, payload = self._came[2:6], self._came[6 : 6 + size]
                self._send(PONG, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
            del self._came[: 6 + size]

    def tell(self) -> None:
        """Send the report, and now and then a sample."""
        self._send(0x1, encode(StatusEvent(status=self._next_report())))
        self._reports += 1
        if self._reports % SAMPLES_EACH == 1:
            self._send(0x1, encode(MetricsEvent(metrics=sample(datetime.now(UTC)))))

    def _next_report(self) -> Any:
        processes = self._report.processes
        if random.random() < NEW_SHARE:
            first = msgspec.structs.replace(processes[0], restarts=processes[0].restarts + 1)
            processes = (first, *processes[1:])
        self._report = msgspec.structs.replace(self._report, observed_at=datetime.now(UTC), processes=processes)
        return self._report

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | opcode]) + length + payload)


async def tell_for_ever(streams: set[Agent]) -> None:
    """Let every agent report once in a period, spread over it."""
    clock = asyncio.get_running_loop().time
    due: dict[Agent, float] = {}
    while True:
        await asyncio.sleep(TICK_S)
        now = clock()
        for agent in list(streams):
            at = due.setdefault(agent, now + random.random() * PERIOD_S)
            if at <= now:
                due[agent] = at + PERIOD_S
                agent.tell()
        if len(due) > len(streams):
            due = {agent: at for agent, at in due.items() if agent in streams}


def listen(port: int) -> socket.socket:
    """Return a listener on every address of the loopback device, and on no other."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    listener.bind(("0.0.0.0", port))
    listener.listen(1024)
    return listener


async def main(path: Path) -> None:
    """Serve until ended."""
    # A quarter of a megabyte for each of thousands of connections is more than the machine has.
    sslproto.SSLProtocol.max_size = 16 * 1024
    crowd, streams = Crowd.load(path), set[Agent]()
    loop = asyncio.get_running_loop()
    await loop.create_server(
        lambda: Agent(crowd, streams), sock=listen(crowd.port), ssl=crowd.context(), ssl_handshake_timeout=60
    )
    await tell_for_ever(streams)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

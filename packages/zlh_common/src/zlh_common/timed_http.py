"""Reading files over HTTP from a server that may be hostile: so many seconds for all of it, however slowly it answers.

A timeout of each read alone would let a server that drips byte after byte hold its reader for days, in the head of an
answer as well as in its body; here every read of the socket gets what is left of one time for all. Nothing is followed
(no redirect), nothing is unpacked, and no proxy is asked. Blocks: for short-lived children. What cannot be bounded from
here is the resolver's time for a name, which its own configuration bounds.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from typing import IO, Any, Self
from urllib.parse import urlsplit

# Seconds that one read may take, as long as there is time for all of them.
READ_TIMEOUT_S = 20.0
BLOCK_BYTES = 64 * 1024
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "zlh"}


class HttpFailed(OSError):
    """A file did not come; `status` is the server's answer where it gave one other than 200."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


# Told host, port and one of its addresses, before anything is sent there.
MayConnect = Callable[[str, int, str], bool]


class AddressRefused(HttpFailed):
    """A name leads to addresses alone that may not be connected to."""


class TimedClient:
    """`with TimedClient(limit_s) as client`: all that is read inside ends within `limit_s` seconds.

    With `may_connect` no connection is begun to an address that it refuses, whatever name or number leads there.
    """

    def __init__(self, limit_s: float, *, may_connect: MayConnect | None = None) -> None:
        self._limit_s, self._ends_at = limit_s, time.monotonic() + limit_s
        self._may_connect = may_connect
        self._place: tuple[str, str] = ("", "")
        self._connection: HTTPConnection | None = None
        self._response: HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def read(self, url: str) -> Iterator[bytes]:
        """Yield the body of a GET, as it comes; raise HttpFailed for everything but a whole 200."""
        is_whole = False
        try:
            response = self.ask(url)
            if response.status != 200:
                raise HttpFailed(f"{urlsplit(url).path} is answered with {response.status}", status=response.status)
            while block := response.read1(BLOCK_BYTES):
                yield block
            if response.length:
                raise HttpFailed(f"the body of {urlsplit(url).path} ended {response.length} bytes early")
            response.close()
            is_whole = True
        except TimeoutError as exc:
            raise HttpFailed(self._describe_timeout()) from exc
        except (HTTPException, OSError, ValueError) as exc:
            if isinstance(exc, HttpFailed):
                raise
            raise HttpFailed(str(exc) or type(exc).__name__) from exc
        finally:
            # Also where the reader has had enough: what is still on its way would be taken for the next answer.
            if not is_whole:
                self._close()

    def ask(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> HTTPResponse:
        """Return the answer to a GET, whatever its status; raise HTTPException, OSError, ValueError.

        Its body is for the caller to read and to close; leaving the client ends the connection.
        """
        parts = urlsplit(url)
        if self._connection is None or self._place != (parts.scheme, parts.netloc):
            self._close()
            make = _HttpsConnection if parts.scheme == "https" else _HttpConnection
            self._connection, self._place = make(parts.netloc, self), (parts.scheme, parts.netloc)
        self._connection.timeout = self.remaining_s()
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._connection.request("GET", path, headers={**_HEADERS, **headers})
        self._response = self._connection.getresponse()
        return self._response

    def hang_up(self) -> None:
        """End the connection; the next question opens another."""
        self._close()

    def remaining_s(self) -> float:
        """Return how long the next read may take; raise TimeoutError where no time is left."""
        remaining = self._ends_at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return min(remaining, READ_TIMEOUT_S)

    def _describe_timeout(self) -> str:
        # A wait for what is left of the time may end a little before it.
        if time.monotonic() >= self._ends_at - 0.1:
            return f"it was not done after {self._limit_s:.0f} s"
        return f"nothing came for {READ_TIMEOUT_S:.0f} s"

    def connect(self, place: tuple[str, int], timeout_s: float | None) -> socket.socket:
        """Return a connection to a host and port; raise OSError, which is AddressRefused where none may be had."""
        if self._may_connect is None:
            return socket.create_connection(place, timeout_s)
        found = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
        allowed = [row for row in found if self._may_connect(*place, str(row[4][0]))]
        failure: OSError = AddressRefused(f"{place[0]} leads to no address that may be connected to")
        for family, kind, protocol, _, address in allowed:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(timeout_s)
                sock.connect(address)
            except OSError as exc:
                sock.close()
                failure = exc
            else:
                return sock
        raise failure

    def _close(self) -> None:
        # http.client lets go of a connection that ends with its answer, so the answer is closed by itself.
        for opened in (self._response, self._connection):
            if opened is not None:
                with suppress(OSError):
                    opened.close()
        self._response = self._connection = None


class _HttpConnection(HTTPConnection):
    def __init__(self, host: str, client: TimedClient) -> None:
        super().__init__(host)
        self._client = client
        _connect_by(self, client)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self._client)


class _HttpsConnection(HTTPSConnection):
    def __init__(self, host: str, client: TimedClient) -> None:
        super().__init__(host)
        self._client = client
        _connect_by(self, client)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self._client)


def _connect_by(connection: Any, client: TimedClient) -> None:
    # http.client has no other place where the address is known and nothing is sent yet; TLS goes on top of it.
    connection._create_connection = lambda place, timeout_s, _source: client.connect(place, timeout_s)  # noqa: SLF001


class _TimedSocket:
    """As much of a socket as http.client asks for."""

    def __init__(self, sock: socket.socket, client: TimedClient) -> None:
        self._sock, self._client = sock, client

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._client.remaining_s())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> IO[bytes]:
        return io.BufferedReader(_TimedReader(self._sock, self._client))

    def close(self) -> None:
        self._sock.close()


class _TimedReader(io.RawIOBase):
    """Reads of a socket, each with what is left of the client's time."""

    def __init__(self, sock: socket.socket, client: TimedClient) -> None:
        super().__init__()
        self._sock, self._client = sock, client
        # Keeps the socket open when http.client closes it after the head of an answer that ends with its connection.
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._client.remaining_s())
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()

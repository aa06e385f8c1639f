"""Fetches one pinned file: addresses in order, redirects one by one, no more bytes than it has, hashed on the way.

Runs in the child. A part that is there is gone on with; what is complete is checked through the descriptor that was
written, synced, and then has its name. Addresses that are none of the internet are asked only where they are named.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from urllib.parse import urljoin

from zlh_agent.files.opening import Held
from zlh_agent.games.address_rules import MAX_HOPS, find_url_fault, is_public
from zlh_agent.games.errors import GameFileRefused, GameFileUnavailable
from zlh_agent.games.hashing import BLOCK_BYTES, NamedHash
from zlh_common.schema.template import PinnedFile
from zlh_common.timed_http import AddressRefused, TimedClient

ROUNDS = 4
# A body that brings nothing for this long is given up, and one that brings less on average after the grace time.
STALL_TIMEOUT_S = 20.0
MIN_BYTES_PER_S, RATE_GRACE_S = 16 * 1024, 30
MAX_RETRY_AFTER_S = 20.0
_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

OnBytes = Callable[[int], None]


class _Again(Exception):
    """This try failed in a way that the next may not."""

    def __init__(self, reason: str, delay_s: float | None = None) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


class _Refused(Exception):
    """This address is not asked again; `is_lie` where what it gave was something else."""

    def __init__(self, reason: str, *, is_lie: bool = False) -> None:
        super().__init__(reason)
        self.is_lie = is_lie


class Fetcher:
    """Fetches files into an open staging folder; `private` are hosts and ports that may be asked in any case."""

    def __init__(self, staging: int, *, private: frozenset[tuple[str, int]], on_bytes: OnBytes) -> None:
        self._staging = staging
        self._private = private
        self._on_bytes = on_bytes

    def fetch(self, file: PinnedFile, urls: tuple[str, ...], name: str) -> None:
        """Have `name` be the file, synced; raise GameFileUnavailable, GameFileRefused or OSError."""
        with Held(os.open(f"{name}.part", _FLAGS, 0o644, dir_fd=self._staging)) as fd:
            part = _Part(file, fd, self._on_bytes)
            self._collect(file, urls, part)
            os.fsync(fd)
            os.rename(f"{name}.part", name, src_dir_fd=self._staging, dst_dir_fd=self._staging)

    def _collect(self, file: PinnedFile, urls: tuple[str, ...], part: _Part) -> None:
        if part.is_whole_and_right():
            return
        left, reasons = list(urls), dict.fromkeys(urls, "it was not asked")
        is_temporary = is_lie = False
        for number in range(ROUNDS):
            delays: list[float] = []
            for url in list(left):
                try:
                    self._take_from(url, file, part)
                except _Again as again:
                    reasons[url], is_temporary = str(again), True
                    delays.append(0.5 * 2.0**number if again.delay_s is None else again.delay_s)
                except _Refused as refused:
                    reasons[url], is_lie = str(refused), is_lie or refused.is_lie
                    left.remove(url)
                else:
                    return
            if not left:
                break
            if number < ROUNDS - 1:
                time.sleep(max(delays))
        told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or "it has no address"
        if is_lie and not left:
            raise GameFileRefused(path=file.path, reason=told[:1000])
        raise GameFileUnavailable(path=file.path, reason=told[:1000], may_pass=is_temporary and bool(left))

    def _take_from(self, url: str, file: PinnedFile, part: _Part) -> None:
        """Complete the part from one address, whose own bytes alone accuse it."""
        was_begun = part.size > 0
        self._fetch_rest(url, file, part)
        if part.is_whole_and_right():
            return
        part.discard()
        if was_begun:
            self._fetch_rest(url, file, part)
            if part.is_whole_and_right():
                return
            part.discard()
        raise _Refused(f"what it gives has not the hash {file.hash}", is_lie=True)

    def _fetch_rest(self, url: str, file: PinnedFile, part: _Part) -> None:
        with _PacedClient(self._may_connect) as client:
            response = self._follow(client, url, {"Range": f"bytes={part.size}-"} if part.size else {})
            with response:
                _check_answer(response, file, part)
                while block := _read(response, file.size - part.size + 1):
                    client.received += len(block)
                    if part.size + len(block) > file.size:
                        part.discard()
                        raise _Refused(f"it gives more than the {file.size} bytes that the file has", is_lie=True)
                    part.append(block)
        if part.size != file.size:
            raise _Again(f"the body ended after {part.size} of {file.size} bytes")

    def _follow(self, client: _PacedClient, url: str, headers: dict[str, str]) -> HTTPResponse:
        """Return the answer at the end of all redirects, each looked at before it is followed."""
        before: str | None = None
        for _ in range(MAX_HOPS + 1):
            if fault := find_url_fault(url, before=before):
                raise _Refused(f"{url[:200]!r} is not asked: {fault}")
            response = _ask(client, url, headers)
            if response.status not in _REDIRECTS:
                return response
            target = response.getheader("Location")
            response.close()
            if not target:
                raise _Refused("it leads on without saying where to")
            before, url = url, urljoin(url, target)
        raise _Refused(f"it leads on more than {MAX_HOPS} times")

    def _may_connect(self, host: str, port: int, address: str) -> bool:
        return (host.lower(), port) in self._private or is_public(address)


class _Part:
    """The bytes that are there, and their hash."""

    def __init__(self, file: PinnedFile, fd: int, on_bytes: OnBytes) -> None:
        self._file = file
        self._fd = fd
        self._on_bytes = on_bytes
        self._hash = NamedHash(file.hash)
        self.size = 0
        if os.fstat(fd).st_size > file.size:
            os.ftruncate(fd, 0)
        while block := os.read(fd, BLOCK_BYTES):
            self._hash.update(block)
            self.size += len(block)
        on_bytes(self.size)

    def append(self, block: bytes) -> None:
        """Write at once, so that a connection that breaks costs nothing that has arrived."""
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._hash.update(block)
        self.size += len(block)
        self._on_bytes(len(block))

    def discard(self) -> None:
        """Begin anew: what was there is wrong."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._on_bytes(-self.size)
        self._hash, self.size = NamedHash(self._file.hash), 0

    def is_whole_and_right(self) -> bool:
        """Tell whether it is the file."""
        return self.size == self._file.size and self._hash.is_right()


class _PacedClient(TimedClient):
    """Gives up a server that is slow, in the head of its answer, in the body and between its pieces."""

    def __init__(self, may_connect: Callable[[str, int, str], bool]) -> None:
        super().__init__(math.inf, may_connect=may_connect)
        self._began = time.monotonic()
        self.received = 0

    def remaining_s(self) -> float:
        """Return how long the next read may take; raise TimeoutError where too little has come so far."""
        seconds = time.monotonic() - self._began
        if seconds > RATE_GRACE_S and self.received < seconds * MIN_BYTES_PER_S:
            raise TimeoutError(f"it brings only {self.received / seconds:.0f} bytes a second")
        return STALL_TIMEOUT_S


def _ask(client: _PacedClient, url: str, headers: dict[str, str]) -> HTTPResponse:
    try:
        return client.ask(url, headers)
    except AddressRefused as exc:
        raise _Refused(str(exc)) from exc
    except TimeoutError as exc:
        raise _Again(str(exc) or f"nothing came for {STALL_TIMEOUT_S:.0f} s") from exc
    except (HTTPException, OSError, ValueError) as exc:
        raise _Again(str(exc) or type(exc).__name__) from exc


def _read(response: HTTPResponse, most: int) -> bytes:
    try:
        return response.read1(min(BLOCK_BYTES, most))
    except TimeoutError as exc:
        raise _Again(str(exc) or f"nothing came for {STALL_TIMEOUT_S:.0f} s") from exc
    except (HTTPException, OSError, ValueError) as exc:
        raise _Again(str(exc) or type(exc).__name__) from exc


def _check_answer(response: HTTPResponse, file: PinnedFile, part: _Part) -> None:
    """Raise unless the body goes on where the part ends; one that begins anew makes the part begin anew."""
    if response.status in _BUSY:
        raise _Again(f"it answers {response.status}", _retry_after_s(response))
    if response.status not in {200, 206}:
        raise _Refused(f"it answers {response.status}")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise _Refused("its body is encoded, which was not asked for")
    is_rest = response.status == 206 and bool(part.size)
    if response.status == 206:
        begin = response.getheader("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if begin != str(part.size):
            raise _Refused("it sends another part than was asked for")
    announced, expected = response.getheader("Content-Length"), file.size - (part.size if is_rest else 0)
    if announced is not None and announced != str(expected):
        raise _Refused(f"it announces {announced[:20]} bytes where {expected} are left", is_lie=True)
    if part.size and not is_rest:
        part.discard()


def _retry_after_s(response: HTTPResponse) -> float | None:
    with suppress(ValueError):
        return min(max(float(response.getheader("Retry-After", "")), 0.0), MAX_RETRY_AFTER_S)
    return None

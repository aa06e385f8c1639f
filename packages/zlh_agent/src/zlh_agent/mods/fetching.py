"""Fetching the file of a mod into a descriptor: exactly its bytes, from where files may come, or none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import aiohttp

from zlh_agent.files.blocks import Blocks
from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.uploads.receiving import BodyCut, Sink, receive
from zlh_agent.uploads.stream_body import StreamBody
from zlh_common.clock import Clock
from zlh_common.schema.file_refusals import BodyStalled, UploadInvalid
from zlh_common.schema.mod_refusals import ModFileUnavailable, ModFileWrong, ModOriginRefused
from zlh_common.schema.mods import ModFile

TRIES = 3
SILENCE_S = 30.0
# A body must bring so much on average once it has had the grace time.
MIN_BYTES_PER_S, GRACE_S = 16 * 1024, 60.0
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "zlh-agent"}
_MAY_PASS = {429, 500, 502, 503, 504}


# How long a host that asks for it is left alone, at most.
MOST_TOLD_WAIT_S = 30.0


class _Again(Exception):
    """This try failed in a way that the next may not; `after_s` is what the host has asked to be left alone for."""

    def __init__(self, reason: str, *, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


def require_origin(file: ModFile, origins: tuple[str, ...]) -> None:
    """Raise ModOriginRefused unless the address lies at one of the origins."""
    if not any(file.url.startswith(f"{origin}/") for origin in origins):
        raise ModOriginRefused(file_name=file.file_name)


class Fetcher:
    """Fetches files; one at a time for each caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # One that comes, and one that is written.
        self._blocks = Blocks(count=2)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, file: ModFile, held: HeldFile, *, on_bytes: Callable[[int], None]) -> None:
        """Write the file; raise ModFileUnavailable, ModFileWrong, FileRefused. `on_bytes` hears how much is there."""
        for number in range(TRIES):
            try:
                await self._try(file, held, on_bytes)
            except _Again as again:
                if number == TRIES - 1:
                    raise ModFileUnavailable(file_name=file.file_name, reason=str(again)) from again
                await self._clock.sleep(max(2.0**number, again.after_s))
            else:
                return

    async def _try(self, file: ModFile, held: HeldFile, on_bytes: Callable[[int], None]) -> None:
        sink = _Counted(file.size, on_bytes)
        limit = aiohttp.ClientTimeout(total=GRACE_S + file.size / MIN_BYTES_PER_S, sock_connect=10.0)
        try:
            async with self._open().get(file.url, allow_redirects=False, timeout=limit) as response:
                _check_head(file, response)
                await held.begin(_empty)
                body = StreamBody(response.content, self._blocks, silence_s=SILENCE_S)
                await receive(body, held, sink, self._blocks, path=file.file_name)
        except UploadInvalid as exc:
            raise ModFileWrong(file_name=file.file_name, reason="more came than was promised") from exc
        except (BodyCut, BodyStalled, TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError) as exc:
            raise _Again(_say(exc)) from exc
        if sink.offset != file.size:
            raise _Again(f"only {sink.offset} of {file.size} bytes came")
        if sink.digest().hex() != file.sha512:
            raise ModFileWrong(file_name=file.file_name, reason="its SHA-512 is another one than was promised")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


class _Counted(Sink):
    """Says how much is written."""

    def __init__(self, size: int, on_bytes: Callable[[int], None]) -> None:
        super().__init__(0, limit=size, algorithm="sha512")
        self._on_bytes = on_bytes

    def write(self, fd: int, view: memoryview) -> None:
        super().write(fd, view)
        self._on_bytes(self.offset)


def _empty(fd: int) -> None:
    """Cut what an earlier try has left."""
    os.ftruncate(fd, 0)


def _check_head(file: ModFile, response: aiohttp.ClientResponse) -> None:
    if response.status in _MAY_PASS:
        raise _Again(f"the host answers {response.status}", after_s=_read_wait_s(response.headers))
    if response.status != 200:
        raise ModFileUnavailable(file_name=file.file_name, reason=f"the host answers {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ModFileUnavailable(file_name=file.file_name, reason="it comes encoded, which was not asked for")
    if response.content_length not in {None, file.size}:
        reason = f"{response.content_length} bytes are announced, and {file.size} were promised"
        raise ModFileWrong(file_name=file.file_name, reason=reason)


def _read_wait_s(headers: Mapping[str, str]) -> float:
    told = headers.get("Retry-After", "")
    is_count = told.isascii() and told.isdigit() and len(told) < 10
    return min(float(told), MOST_TOLD_WAIT_S) if is_count else 0.0


def _say(error: Exception) -> str:
    if isinstance(error, BodyStalled):
        return f"nothing came for {SILENCE_S:.0f} s"
    if isinstance(error, TimeoutError):
        return "it came too slowly"
    return (
        "the connection broke" if isinstance(error, BodyCut) else f"the host cannot be reached ({type(error).__name__})"
    )

"""Asking an upstream: bounded in size and time, held to its own hosts, and patient where it asks for patience.

An upstream is a stranger. It is read without following anything, within one time for all that is asked of it; what it
says of addresses is believed for hosts that are known to be its own, since every container of this installation will
fetch from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from zlh_api.artifacts.errors import ArtifactFetchFailed, ArtifactPartsMissing, SourceUnsafe
from zlh_common.timed_http import BLOCK_BYTES, HttpFailed, TimedClient

# For all that is asked of one upstream in one run: hundreds of small documents, a dozen installers.
LIMIT_S = 900.0
MAX_DOCUMENT_BYTES = 16_000_000
MAX_FILE_BYTES = 256_000_000
TRIES = 4
# The longest that an upstream may have us wait before we come back.
LONGEST_PAUSE_S = 30.0
FIRST_PAUSE_S = 1.0
_COME_BACK = frozenset({429, 500, 502, 503, 504})


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service: where it is, from which hosts its files come besides, and whether it wants to know who asks."""

    url: str
    hosts: tuple[str, ...] = ()
    wants_contact: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """How upstreams are asked in one run."""

    upstreams: Mapping[str, Upstream]
    # Name of an upstream → address in its place; the operator's own choice, so that it may be plain.
    mirrors: Mapping[str, str]
    # Who asks, as upstreams want to know it: an address of mail or of a page.
    contact: str | None = None
    version: str = "0"
    limit_s: float = LIMIT_S
    pause: Callable[[float], None] = time.sleep


class UpstreamClient:
    """`with UpstreamClient(asking, "papermc") as client`. Raises ArtifactFetchFailed, SourceUnsafe."""

    def __init__(self, asking: Asking, name: str) -> None:
        upstream = asking.upstreams[name]
        self._name, self._asking = name, asking
        self._base = asking.mirrors.get(name, upstream.url).rstrip("/")
        self._hosts = {urlsplit(self._base).netloc, *upstream.hosts}
        self._schemes = {"https", urlsplit(self._base).scheme}
        self._client = TimedClient(asking.limit_s)
        self._headers = {"User-Agent": f"zlh/{asking.version} ({asking.contact or 'no contact'})"}
        if upstream.wants_contact and not asking.contact:
            raise ArtifactPartsMissing(recipe=name, parts=["an address for its operators to write to (--contact)"])

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.__exit__(kind, exc, trace)

    def read(self, path: str) -> bytes:
        """Return a document below the upstream's address, or at an address that it gave."""
        url = self.address(path)
        body = bytearray()
        for block in self._blocks(url, MAX_DOCUMENT_BYTES):
            body += block
        return bytes(body)

    def hash_file(self, url: str) -> tuple[dict[str, str], int]:
        """Return SHA-1 and SHA-256 of a file, and its size; nothing of it is kept."""
        digests, size = {"sha1": hashlib.sha1(usedforsecurity=False), "sha256": hashlib.sha256()}, 0
        for block in self._blocks(self.address(url), MAX_FILE_BYTES):
            size += len(block)
            for digest in digests.values():
                digest.update(block)
        if not size:
            raise SourceUnsafe(source=url, reason="it is empty")
        return {name: digest.hexdigest() for name, digest in digests.items()}, size

    def address(self, path: str) -> str:
        """Return the whole address; raise SourceUnsafe where it is none of the upstream's own."""
        url = path if "://" in path else f"{self._base}/{path.lstrip('/')}"
        try:
            parts = urlsplit(url)
            is_own = parts.netloc in self._hosts and parts.scheme in self._schemes
        except ValueError:
            is_own = False
        if not is_own or not url.isascii() or not url.isprintable() or " " in url:
            raise SourceUnsafe(source=self._name, reason=f"it leads to {url[:200]!r}, which is none of its own hosts")
        return url

    def _blocks(self, url: str, limit: int) -> Iterator[bytes]:
        size = 0
        response = self._answer(url)
        try:
            while block := response.read1(BLOCK_BYTES):
                size += len(block)
                if size > limit:
                    raise SourceUnsafe(source=url, reason=f"it is larger than {limit} bytes")
                yield block
            if response.length:
                raise ArtifactFetchFailed(source=url, reason=f"it ended {response.length} bytes too early")
        except (HTTPException, OSError, ValueError) as exc:
            raise self._failed(url, exc) from exc
        finally:
            response.close()

    def _answer(self, url: str) -> HTTPResponse:
        """Return an answer with 200; come back where the upstream asks for that, a few times."""
        for attempt in range(1, TRIES + 1):
            try:
                response = self._client.ask(url, self._headers)
                if response.status == 200:
                    return response
                status, after = response.status, response.getheader("Retry-After")
                # What is left of it is not read: a connection of its own for the next question.
                response.close()
                self._client.hang_up()
            except (HTTPException, OSError, ValueError) as exc:
                raise self._failed(url, exc) from exc
            if status not in _COME_BACK or attempt == TRIES:
                raise ArtifactFetchFailed(source=url, reason=f"the server answers {status}")
            self._asking.pause(_pause_s(after, attempt))
        raise AssertionError

    def _failed(self, url: str, exc: Exception) -> ArtifactFetchFailed:
        if isinstance(exc, TimeoutError):
            reason = f"no end after {self._asking.limit_s:.0f} s, or nothing came"
            return ArtifactFetchFailed(source=url, reason=reason)
        self._client.hang_up()
        reason = str(exc) if isinstance(exc, HttpFailed) or str(exc) else type(exc).__name__
        return ArtifactFetchFailed(source=url, reason=reason[:300])


def _pause_s(retry_after: str | None, attempt: int) -> float:
    text = (retry_after or "").strip()
    asked = float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else FIRST_PAUSE_S * 2 ** (attempt - 1)
    return min(LONGEST_PAUSE_S, asked)

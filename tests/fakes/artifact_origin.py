"""A real artifact server on loopback that misbehaves to order: cuts, lies about lengths and ranges, redirects."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Fault:
    """How one answer goes wrong; several can be combined."""

    # Answer with this status and no file.
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    # The connection is closed after so many bytes of the body.
    cut_after: int | None = None
    # The body stops after so many bytes, and the connection stays.
    stall_after: int | None = None
    # Every byte of the body is another.
    wrong_bytes: bool = False
    # So many bytes more (less, where negative) than the file has; the length is announced as it is sent.
    extra: int = 0
    # No Content-Length: the end of the connection is the end of the body.
    is_unannounced: bool = False
    # 200 and the whole file, whatever was asked for.
    ignores_range: bool = False
    content_range: str | None = None
    # 206, whatever was asked for.
    sends_part: bool = False


GOOD = Fault()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came."""

    path: str
    range: str | None


@dataclass
class ArtifactOrigin:
    """Serves a folder; `faults` holds for each path what its next answers are, `always` what all of them are."""

    tree: Path
    asked: list[Asked] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    port: int = 0
    # Set while an answer stalls.
    is_stalling: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address; the same after a stop and a start."""
        return f"http://127.0.0.1:{self.port}"

    def misbehave(self, path: str, *faults: Fault) -> None:
        """Let the next answers for `path` go as ordered, one after the other."""
        self.faults.setdefault(path, deque()).extend(faults)

    def ranges(self, path: str) -> list[str | None]:
        """Return the Range of every request for `path`."""
        return [request.range for request in self.asked if request.path == path]

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Stop it."""
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of the last time where there was one."""
        application = web.Application()
        application.router.add_get("/{path:.+}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _next_fault(self, path: str) -> Fault:
        waiting = self.faults.get(path)
        return waiting.popleft() if waiting else self.always.get(path, GOOD)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.asked.append(Asked(path, request.headers.get("Range")))
        fault = self._next_fault(path)
        if fault.status is not None:
            return web.Response(status=fault.status, headers=fault.headers)
        file = self.tree / path
        if not await asyncio.to_thread(file.is_file):
            return web.Response(status=404)
        return await self._send(request, await asyncio.to_thread(file.read_bytes), fault)

    async def _send(self, request: web.Request, whole: bytes, fault: Fault) -> web.StreamResponse:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and not fault.ignores_range else 0
        is_part = bool(start) or fault.sends_part
        headers = [("ETag", f'"{len(whole)}"'), *fault.headers]
        response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
        if is_part:
            honest = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
            response.headers["Content-Range"] = fault.content_range or honest
        body = _spoil(whole[start:], fault)
        if fault.is_unannounced:
            response.force_close()
            response.headers["Connection"] = "close"
        else:
            response.content_length = len(body)
        await response.prepare(request)
        await self._write(request, response, body, fault)
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, body: bytes, fault: Fault) -> None:
        stop_at = fault.cut_after if fault.cut_after is not None else fault.stall_after
        await response.write(body if stop_at is None else body[:stop_at])
        if fault.stall_after is not None:
            self.is_stalling.set()
            await asyncio.Event().wait()
        if fault.cut_after is not None:
            assert request.transport is not None
            request.transport.close()


def _spoil(body: bytes, fault: Fault) -> bytes:
    if fault.wrong_bytes:
        body = bytes(byte ^ 0xFF for byte in body)
    return body[: fault.extra] if fault.extra < 0 else body + b"x" * fault.extra

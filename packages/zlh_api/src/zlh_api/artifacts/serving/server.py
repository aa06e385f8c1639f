"""The artifact server: the tree over HTTP, and its short-lived signatures renewed every day.

Plain HTTP, since every byte is signed or hashed; put TLS in front where others listen. It never imports tuf: renewing
is the work of a child (`resign`), which also checks what it signs.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog
from aiohttp import web

from zlh_api.artifacts.errors import ArtifactsNotInitialised, KeysUnusable, MethodNotOffered
from zlh_api.artifacts.serving.tree_files import answer_file, read_expiry
from zlh_api.artifacts.signing.renewal import Renewal
from zlh_api.listening import listen_error
from zlh_api.web.connections import BoundedRunner, limits_of_this_process
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import RangeUnsatisfiable, ZlhError
from zlh_common.notify import feed_watchdog, notify
from zlh_common.pace import Allowance, Rate, take
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.problem import PROBLEM_CONTENT_TYPE, render_problem

log = structlog.get_logger()
SHUTDOWN_TIMEOUT_S = 5.0
# More than an agent and all that it starts need at a time.
FROM_ONE_ADDRESS = 64
# Lines about requests: strangers ask, and the log is this host's.
LINES = Rate(at_once=200, per_s=20)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What one server needs; the keys folder must lie outside the tree or below a name that is not served."""

    folder: Path
    keys: Path
    host: str = "127.0.0.1"
    # 0 takes any free port.
    port: int = 8480
    # Named in `port_in_use`, so that a person knows what to change.
    port_setting: str = "--port"
    # Connections that one address has at most, but for this host's own; None where a proxy elsewhere is in front.
    from_one_address: int | None = FROM_ONE_ADDRESS


async def serve(settings: ServerSettings) -> None:
    """Serve until SIGINT or SIGTERM; raise a named error where it cannot start."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    feeding = asyncio.create_task(feed_watchdog())
    try:
        async with ArtifactServer(settings):
            notify("READY=1")
            await stopped.wait()
            notify("STOPPING=1")
    finally:
        feeding.cancel()


class ArtifactServer:
    """`async with ArtifactServer(settings) as server`: signed again and listening inside, closed after."""

    def __init__(self, settings: ServerSettings, *, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._runner: web.AppRunner | None = None
        self._renewal = Renewal(settings.folder, settings.keys, clock=self._clock)
        self._renewing: asyncio.Task[None] | None = None
        self.port = settings.port

    @property
    def url(self) -> str:
        """The base URL that agents are given."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(_check_layout, self._settings)
        await self._renewal.renew()
        await self._listen()
        self._renewing = asyncio.create_task(self._renewal.run(), name="artifacts-renewal")
        log.info("artifacts.serving_started", url=self.url, folder=str(self._settings.folder))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        if self._runner is not None:
            await self._runner.cleanup()
        log.info("artifacts.serving_ended", url=self.url)

    async def renew(self) -> None:
        """Have the short-lived signatures renewed now; raise ResignFailed where that does not work."""
        await self._renewal.renew()

    async def _listen(self) -> None:
        app = web.Application(middlewares=[_Answers().middleware], client_max_size=1024)
        app.router.add_route("*", "/healthz", self._health)
        app.router.add_route("*", "/{path:.*}", self._file)
        # Containers reach it, and each is a stranger with an address of its own.
        limits = limits_of_this_process(from_one_address=self._settings.from_one_address)
        self._runner = BoundedRunner(app, limits, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as exc:
            await self._runner.cleanup()
            settings = self._settings
            raise listen_error(exc, address=settings.host, port=settings.port, setting=settings.port_setting) from exc
        self.port = self._runner.addresses[0][1]

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        expires = await asyncio.to_thread(read_expiry, self._settings.folder)
        ok = expires is not None and expires > self._clock.now()
        body = {
            "status": "ok" if ok else "catalog_expired",
            "catalogExpires": expires,
            "message": self._renewal.trouble,
        }
        return web.Response(status=200 if ok else 503, body=msgspec.json.encode(body), content_type="application/json")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotOffered(method=request.method[:16])
        return await answer_file(request, self._settings.folder, request.path)


def _check_layout(settings: ServerSettings) -> None:
    if not (settings.folder / "metadata" / "timestamp.json").is_file():
        raise ArtifactsNotInitialised(folder=settings.folder, missing="metadata/timestamp.json")
    served = [settings.folder.resolve() / name for name in ("archives", "metadata", "targets")]
    if any(settings.keys.resolve().is_relative_to(folder) for folder in served):
        raise KeysUnusable(key=settings.keys, reason="the folder lies within what is served")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Answers:
    """Turns named errors into problem documents, and writes one line for each request, as far as there is room."""

    def __init__(self) -> None:
        self._allowance = Allowance(LINES.at_once, time.monotonic())
        self._left_out = 0

    @property
    def middleware(self) -> Any:
        """What answers each request, in aiohttp's words."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            request_id = accept_request_id(request.headers.get(HEADER, ""))
            with following(request_id):
                return await self._answer(request, handler, request_id)

        return answer

    async def _answer(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        began = time.monotonic()
        fields: dict[str, Any] = {"method": request.method[:16], "path": request.path[:200]}
        try:
            response = await handler(request)
        except ZlhError as exc:
            response = _render(exc, request_id)
            fields["code"] = exc.code
        except ConnectionError:
            self._note("request.cancelled", fields, began)
            raise
        self._note("request.served", {**fields, "status": response.status}, began)
        return response

    def _note(self, event: str, fields: dict[str, Any], began: float) -> None:
        now = time.monotonic()
        may, self._allowance = take(self._allowance, 1, LINES, now)
        if not may:
            self._left_out += 1
            return
        if self._left_out:
            fields, self._left_out = {**fields, "lines_left_out": self._left_out}, 0
        log.info(event, **fields, seconds=round(now - began, 4))


def _render(exc: ZlhError, request_id: str) -> web.Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if isinstance(exc, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{exc.data['size']}"
    if isinstance(exc, MethodNotOffered):
        headers["Allow"] = "GET, HEAD"
    return web.Response(
        status=exc.status,
        body=msgspec.json.encode(render_problem(exc, request_id=request_id)),
        content_type=PROBLEM_CONTENT_TYPE,
        headers=headers,
    )

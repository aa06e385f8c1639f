"""An agent that answers for files as the contract says, with bytes in memory; or as a hostile one likes."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from aiohttp import web

from fakes.certificates import Certificates
from zlh_api.agents.client import AgentAddress, AgentClient
from zlh_common.names import OwnerMark
from zlh_common.schema.file_refusals import FileRefused, UploadNotFound, UploadOffsetWrong
from zlh_common.schema.files import FileEntry, FileKind, Folder
from zlh_common.schema.problem import render_problem
from zlh_common.schema.structs import encode

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FilesAgent:
    """Files by their paths, and uploads by their ids."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, int, bytearray]] = {}
        self.asked: list[tuple[str, str]] = []
        # What it answers in place of all that, if anything.
        self.instead: Answering | None = None
        # How much has come of bodies that are not kept, and whether the last one came to its end.
        self.taken_bytes = 0
        self.was_cut = asyncio.Event()
        # Bodies are counted and thrown away.
        self.keeps = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append((request.method, request.raw_path))
        try:
            if self.instead is not None:
                return await self.instead(request)
            return await self._answer(request, request.path.removeprefix("/files"))
        except (FileRefused, UploadNotFound, UploadOffsetWrong) as error:
            document = render_problem(error, request_id="x" * 8)
            return web.json_response(document, status=error.status, content_type="application/problem+json")

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        match request.method, path:
            case "GET", "":
                entries = tuple(self._entry(name) for name in sorted(self.files))
                return _json(Folder(root="workspace", path="", entries=entries))
            case "GET", "/stat":
                return _json(self._entry(self._wanted(request)))
            case "GET", "/content" | "/archive":
                send = self._send if path == "/content" else self._pack
                return await send(request, self._wanted(request))
            case "PUT", "/content":
                return await self._take(request)
            case "POST", "/uploads":
                return await self._begin(request)
            case _, _ if path.startswith("/uploads/"):
                return await self._go_on(request, path.removeprefix("/uploads/"))
            case _:
                raise web.HTTPNotFound

    def _wanted(self, request: web.Request) -> str:
        path = request.query.get("path", "").strip("/")
        if path not in self.files:
            raise FileRefused("path_not_found", path=path)
        return path

    def _entry(self, path: str) -> FileEntry:
        body = self.files[path]
        version = hashlib.sha256(body).hexdigest()[:20]
        return FileEntry(name=path, kind=FileKind.FILE, size=len(body), modified_at=NOW, mode="0644", version=version)

    async def _send(self, request: web.Request, path: str) -> web.StreamResponse:
        body, tag = self.files[path], f'"{self._entry(path).version}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        part = request.http_range
        first, last = part.start or 0, part.stop if part.stop is not None else len(body)
        if first >= len(body) > 0:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
        headers = {"ETag": tag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if "Range" not in request.headers:
            return web.Response(body=body, headers=headers)
        headers["Content-Range"] = f"bytes {first}-{min(last, len(body)) - 1}/{len(body)}"
        return web.Response(status=206, body=body[first:last], headers=headers)

    async def _pack(self, request: web.Request, path: str) -> web.StreamResponse:
        """Answer bit by bit, as an archive comes whose length nobody knows; what is in it is nobody's matter here."""
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(self.files[path])
        await response.write_eof()
        return response

    async def _take(self, request: web.Request) -> web.StreamResponse:
        path = request.query["path"].strip("/")
        body = await self._read(request)
        is_new = path not in self.files
        self.files[path] = body
        return _json(self._entry(path), status=201 if is_new else 200)

    async def _read(self, request: web.Request) -> bytes:
        self.was_cut.clear()
        held = bytearray()
        try:
            async for block in request.content.iter_any():
                self.taken_bytes += len(block)
                if self.keeps:
                    held += block
        except BaseException:
            self.was_cut.set()
            raise
        return bytes(held)

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        upload = uuid4().hex
        self.uploads[upload] = (
            request.headers["Upload-Metadata"],
            int(request.headers["Upload-Length"]),
            bytearray(await self._read(request)),
        )
        offset = str(len(self.uploads[upload][2]))
        return web.Response(
            status=201, headers={"Location": f"https://elsewhere.example/{upload}", "Upload-Offset": offset}
        )

    async def _go_on(self, request: web.Request, upload: str) -> web.StreamResponse:
        if upload not in self.uploads:
            raise UploadNotFound
        _, length, held = self.uploads[upload]
        if request.method == "DELETE":
            del self.uploads[upload]
            return web.Response(status=204)
        if request.method == "PATCH":
            if int(request.headers["Upload-Offset"]) != len(held):
                raise UploadOffsetWrong(wanted=len(held), given=int(request.headers["Upload-Offset"]))
            held += await self._read(request)
        headers = {"Upload-Offset": str(len(held)), "Upload-Length": str(length)}
        return web.Response(status=204 if request.method == "PATCH" else 200, headers=headers)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(value), content_type="application/json")


@asynccontextmanager
async def serving(agent: FilesAgent, folder: Path) -> AsyncIterator[tuple[AgentClient, AgentAddress]]:
    """Serve an agent over TLS; yields a client of it, and where it is."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", agent.answer)
    async with serving_application(application, folder) as served:
        yield served


@asynccontextmanager
async def serving_application(
    application: web.Application, folder: Path
) -> AsyncIterator[tuple[AgentClient, AgentAddress]]:
    """Serve what an agent answers over TLS; yields a client of it, and where it is."""
    owner = OwnerMark(str(uuid4()))
    certificates = await asyncio.to_thread(Certificates, folder / "authority")
    await asyncio.to_thread(certificates.write_agent, folder / "agent", owner)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, folder / "agent/agent.crt", folder / "agent/agent.key")
    # As an agent does: it answers the API alone.
    await asyncio.to_thread(context.load_verify_locations, folder / "agent/api-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        async with AgentClient(await asyncio.to_thread(certificates.api)) as client:
            yield client, AgentAddress(owner, "127.0.0.1", port)
    finally:
        await runner.cleanup()

"""Calls on files of one container by the public name, through the proxy, and a connection that is cut on the way."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from e2e.stack import Stack

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Told:
    """An answer, with all of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


@dataclass(frozen=True)
class Files:
    """The files of one container as a program at the public name finds them."""

    stack: Stack
    vmid: int

    @property
    def headers(self) -> dict[str, str]:
        """What every request has to say."""
        host = urlsplit(self.stack.dev["portalUrl"]).netloc
        return {"Host": host, "Authorization": f"Bearer {self.stack.dev['adminToken']}"}

    @property
    def url(self) -> str:
        """Where the calls are, at the proxy."""
        return f"{self.stack.dev['traefikUrl'].rstrip('/')}{self.path}"

    @property
    def path(self) -> str:
        """The same below its host."""
        return f"/api/containers/{self.vmid}/files"

    async def call(
        self,
        method: str,
        path: str = "",
        *,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        json: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        """Ask, and return the whole answer."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session,
            session.request(
                method,
                self.url + path,
                params=query,
                json=json,
                data=None if data is None else io.BytesIO(data),
                headers={**self.headers, **(headers or {})},
            ) as answer,
        ):
            body = await answer.read()
            is_json = answer.content_type.endswith("json") and body
            return Told(answer.status, answer.headers, body, await answer.json() if is_json else None)

    async def write(self, path: str, body: bytes, **query: str) -> Told:
        """Write a file whole, with the folders above it."""
        return await self.call("PUT", "/content", query={"path": path, "parents": "true", **query}, data=body)

    async def read(self, path: str, **headers: str) -> Told:
        """Read a file, or a stretch of it."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("GET", "/content", query={"path": path}, headers=names)

    async def work(self, method: str, path: str = "", **asked: Any) -> dict[str, Any]:
        """Have an operation done and return its end, however long it takes."""
        told = await self.call(method, path, **asked)
        assert told.status in {200, 202}, told.json
        row: dict[str, Any] = told.json
        while row["state"] == "running":
            await asyncio.sleep(0.1)
            row = (await self.call("GET", f"/operations/{row['id']}")).json
        return row

    def curl(self) -> list[str]:
        """Return how curl is called, with what every request has to say."""
        said = [part for name, value in self.headers.items() for part in ("-H", f"{name}: {value}")]
        return ["curl", "--silent", "--show-error", *said]


@dataclass
class Cutter:
    """Stands between a client and the proxy; the first connection that has sent so much is cut, and no other."""

    host: str
    port: int
    after_bytes: int
    has_begun: Callable[[], Awaitable[None]]
    was_cut: bool = field(default=False, init=False)

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Listen at this port of the loopback for as long as the block goes on."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(self.host, self.port)
        back = asyncio.ensure_future(_pump(behind_reader, writer))
        try:
            sent = 0
            while block := await reader.read(BLOCK_BYTES):
                behind_writer.write(block)
                await behind_writer.drain()
                sent += len(block)
                if sent >= self.after_bytes and not self.was_cut:
                    await self.has_begun()
                    self.was_cut = True
                    return
        except ConnectionError:
            pass
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for each in (writer, behind_writer):
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(BLOCK_BYTES):
        writer.write(block)
        await writer.drain()
    writer.close()

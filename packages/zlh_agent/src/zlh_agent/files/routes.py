"""The agent's calls that look at files and change their names and rights; shapes stand in docs/agent-protocol.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web

from zlh_agent.files.downloads import answer_file
from zlh_agent.files.model import KEEP, REPLACE
from zlh_agent.files.presenting_rules import parse_count, parse_flag, parse_mode, parse_path, show_entry
from zlh_agent.files.roots import Roots
from zlh_agent.files.service import Files
from zlh_common.errors import InvalidBody
from zlh_common.file_names import name_to_text
from zlh_common.schema.files import (
    DEFAULT_LISTED,
    MAX_LISTED,
    ChangeMode,
    FileEntry,
    Folder,
    MakeFolder,
    MoveFile,
)
from zlh_common.schema.structs import decode, encode

MAX_REQUEST_BYTES = 256 * 1024
T = TypeVar("T")


def routes(roots: Roots, threads: ThreadPoolExecutor) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    @asynccontextmanager
    async def borrow(name: str | None) -> AsyncIterator[Files]:
        async with roots.service(roots.choose(name)).borrow() as files:
            yield files

    async def list_folder(request: web.Request) -> web.Response:
        query = request.query
        path, root = parse_path(query.get("path")), roots.choose(query.get("root"))
        limit = parse_count(query, "limit", default=DEFAULT_LISTED, most=MAX_LISTED)
        async with borrow(root.name) as files:
            page = await files.list_folder(path, after=parse_path(query.get("after")), limit=limit)
        entries = tuple(map(show_entry, page.entries))
        shown = name_to_text(path)
        if not page.has_more:
            return answer_json(Folder(root=root.name, path=shown, entries=entries))
        return answer_json(Folder(root=root.name, path=shown, entries=entries, next=entries[-1].name))

    async def stat(request: web.Request) -> web.Response:
        follow = parse_flag(request.query, "follow", default=False)
        async with borrow(request.query.get("root")) as files:
            return answer_json(show_entry(await files.stat(parse_path(request.query.get("path")), follow=follow)))

    async def content(request: web.Request) -> web.StreamResponse:
        service = roots.service(roots.choose(request.query.get("root")))
        return await answer_file(request, service, threads, parse_path(request.query.get("path")))

    async def make_folder(request: web.Request) -> web.Response:
        asked = await read_request(request, MakeFolder)
        path = parse_path(asked.path)
        async with borrow(asked.root) as files:
            await files.make_folder(path, parents=asked.parents)
            return answer_json(await _entry(files, path), status=201)

    async def move(request: web.Request) -> web.Response:
        asked = await read_request(request, MoveFile)
        target = parse_path(asked.to)
        async with borrow(asked.root) as files:
            await files.move(parse_path(asked.path), target, how=REPLACE if asked.replace else KEEP)
            return answer_json(await _entry(files, target))

    async def change_mode(request: web.Request) -> web.Response:
        asked = await read_request(request, ChangeMode)
        path = parse_path(asked.path)
        async with borrow(asked.root) as files:
            await files.change_mode(path, parse_mode(asked.mode) or 0)
            return answer_json(await _entry(files, path))

    return [
        web.get("/files", list_folder, allow_head=False),
        web.get("/files/stat", stat, allow_head=False),
        web.get("/files/content", content),
        web.post("/files/mkdir", make_folder),
        web.post("/files/move", move),
        web.post("/files/chmod", change_mode),
    ]


async def read_request(request: web.Request, shape: type[T]) -> T:
    """Return the body of a call; raise InvalidBody."""
    raw = bytearray()
    async for part in request.content.iter_any():
        raw += part
        if len(raw) > MAX_REQUEST_BYTES:
            raise InvalidBody(reason=f"it has more than {MAX_REQUEST_BYTES} bytes")
    return decode(bytes(raw), shape)


def answer_json(value: object, *, status: int = 200) -> web.Response:
    """Return an answer of one document."""
    return web.Response(body=encode(value), status=status, content_type="application/json")


async def _entry(files: Files, path: str) -> FileEntry:
    return show_entry(await files.stat(path))

"""The agent's calls that look at files and change their names and rights; shapes stand in docs/agent-protocol.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web
from msgspec import UNSET

from zlh_agent.files.downloads import Downloads
from zlh_agent.files.model import KEEP, REPLACE
from zlh_agent.files.presenting_rules import (
    parse_count,
    parse_flag,
    parse_mode,
    parse_needle,
    parse_path,
    parse_sort,
    show_entry,
    show_search,
)
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.service import Files
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.file_names import name_to_text
from zlh_common.schema.files import (
    DEFAULT_FOUND,
    DEFAULT_LISTED,
    MAX_FOUND,
    MAX_LISTED,
    ChangeMode,
    DiskRoom,
    FileEntry,
    FileRoot,
    FileRoots,
    Folder,
    MakeFolder,
    MoveFile,
)
from zlh_common.schema.structs import decode, encode

MAX_REQUEST_BYTES = 256 * 1024
T = TypeVar("T")


def routes(roots: Roots, threads: ThreadPoolExecutor) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""
    downloads = Downloads(threads)

    @asynccontextmanager
    async def borrow(name: str | None) -> AsyncIterator[Files]:
        async with roots.service(roots.choose(name)).borrow() as files:
            yield files

    async def list_folder(request: web.Request) -> web.Response:
        query = request.query
        path, root = parse_path(query.get("path")), roots.choose(query.get("root"))
        limit = parse_count(query, "limit", default=DEFAULT_LISTED, most=MAX_LISTED)
        async with borrow(root.name) as files:
            page = await files.list_folder(
                path,
                after=query.get("after", ""),
                limit=limit,
                sort=parse_sort(query.get("sort")),
                descending=parse_flag(query, "descending", default=False),
                folders_first=parse_flag(query, "foldersFirst", default=False),
                hidden=parse_flag(query, "hidden", default=True),
            )
        entries = tuple(map(show_entry, page.entries))
        following = UNSET if page.next is None else page.next
        return answer_json(Folder(root=root.name, path=name_to_text(path), entries=entries, next=following))

    async def list_roots(_request: web.Request) -> web.Response:
        roots.choose(None)
        return answer_json(FileRoots(roots=tuple([await _show_root(roots, root) for root in roots.offered])))

    async def search(request: web.Request) -> web.Response:
        query = request.query
        path, root = parse_path(query.get("path")), roots.choose(query.get("root"))
        name, text = parse_needle(query, "name"), parse_needle(query, "text")
        if not name and not text:
            raise InvalidBody(reason="a search is for a name, for a text, or for both")
        async with roots.service(root).borrow(is_long=True) as files:
            outcome = await files.search(
                path,
                name=name,
                text=text,
                match_case=parse_flag(query, "matchCase", default=False),
                limit=parse_count(query, "limit", default=DEFAULT_FOUND, most=MAX_FOUND),
            )
        return answer_json(show_search(outcome, root=root.name, path=path))

    async def stat(request: web.Request) -> web.Response:
        follow = parse_flag(request.query, "follow", default=False)
        async with borrow(request.query.get("root")) as files:
            return answer_json(show_entry(await files.stat(parse_path(request.query.get("path")), follow=follow)))

    async def content(request: web.Request) -> web.StreamResponse:
        service = roots.service(roots.choose(request.query.get("root")))
        return await downloads.answer(request, service, parse_path(request.query.get("path")))

    return [
        web.get("/files/roots", list_roots, allow_head=False),
        web.get("/files", list_folder, allow_head=False),
        web.get("/files/search", search, allow_head=False),
        web.get("/files/stat", stat, allow_head=False),
        web.get("/files/content", content),
    ]


def change_routes(roots: Roots) -> list[web.AbstractRouteDef]:
    """Return the routes that change names and rights."""

    @asynccontextmanager
    async def borrow(name: str | None) -> AsyncIterator[Files]:
        async with roots.service(roots.choose(name)).borrow() as files:
            yield files

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


async def _show_root(roots: Roots, root: OfferedRoot) -> FileRoot:
    """Return a root with the room of its disk, or why that cannot be told."""
    room: DiskRoom | None = None
    code: str | None = None
    try:
        async with roots.service(root).borrow() as files:
            found = await files.room()
        room = DiskRoom(
            total_bytes=found.total_bytes,
            free_bytes=found.free_bytes,
            total_files=found.total_files,
            free_files=found.free_files,
        )
    except ZlhError as error:
        code = error.code
    is_default = root is roots.offered[0]
    return FileRoot(
        name=root.name, title=root.title, folder=root.place.root, is_default=is_default, room=room, code=code
    )

"""The agent's call that streams an archive of files; the end of the answer says that it is whole."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from zlh_agent.archives.service import Archives
from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.downloads import PIECE_BYTES, SAFE_HEADERS, break_off
from zlh_agent.files.presenting_rules import parse_path
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.file_answers import render_attachment
from zlh_common.file_names import name_to_text
from zlh_common.schema.files import MAX_PATHS, ArchiveFormat


def routes(roots: Roots, archives: Archives, threads: ThreadPoolExecutor) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def stream(request: web.Request) -> web.StreamResponse:
        root = roots.choose(request.query.get("root"))
        paths = [parse_path(path) for path in request.query.getall("path", [])]
        if not 1 <= len(paths) <= MAX_PATHS:
            raise InvalidBody(reason=f"path is given once for each of 1 to {MAX_PATHS} files and folders")
        form = _parse_format(request.query.get("format"))
        response = web.StreamResponse(
            headers={**SAFE_HEADERS, "Content-Disposition": render_attachment(_name_of(root, paths, form))}
        )
        try:
            async with archives.streaming(root, paths, form) as fd:
                await _send(request, response, HeldFile(threads, os.dup(fd)))
        except (ZlhError, OSError):
            if not response.prepared:
                raise
            break_off(request)
        await response.write_eof()
        return response

    return [web.get("/files/archive", stream, allow_head=False)]


async def _send(request: web.Request, response: web.StreamResponse, pipe: HeldFile) -> None:
    """Send what comes; nothing is begun before the first bytes are there, so that a refusal can still be told."""
    try:
        while block := await asyncio.shield(pipe.begin(os.read, PIECE_BYTES)):
            if not response.prepared:
                await response.prepare(request)
            await response.write(block)
    finally:
        pipe.close()


def _parse_format(text: str | None) -> ArchiveFormat:
    try:
        return ArchiveFormat(text or ArchiveFormat.ZIP)
    except ValueError as exc:
        raise InvalidBody(reason=f"format is one of {', '.join(ArchiveFormat)}") from exc


def _name_of(root: OfferedRoot, paths: list[str], form: ArchiveFormat) -> str:
    name = paths[0].rstrip("/").rpartition("/")[2] if len(paths) == 1 else ""
    return f"{name_to_text(name) or root.name}.{form.value}"

"""The agent's calls for work on files that may take long; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.hashing import Hashing
from zlh_agent.files.operations import About, OperationService, Tell, Work
from zlh_agent.files.presenting_rules import parse_flag, parse_path
from zlh_agent.files.refusals import refusal_of
from zlh_agent.files.roots import Roots
from zlh_agent.files.routes import answer_json, read_request
from zlh_common.file_names import name_to_text
from zlh_common.schema.file_refusals import FileRefused
from zlh_common.schema.files import (
    ChecksumFile,
    FileOperation,
    FileOperations,
    OperationKind,
    OperationResult,
    OperationState,
)


def routes(roots: Roots, threads: ThreadPoolExecutor, operations: OperationService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def delete(request: web.Request) -> web.Response:
        root, path = roots.choose(request.query.get("root")).name, parse_path(request.query.get("path"))
        is_recursive = parse_flag(request.query, "recursive", default=True)
        work = _removing(roots, root, path, is_recursive=is_recursive)
        return _answer(await operations.start(About(OperationKind.DELETE, root, name_to_text(path)), work))

    async def checksum(request: web.Request) -> web.Response:
        asked = await read_request(request, ChecksumFile)
        root, path = roots.choose(asked.root).name, parse_path(asked.path)
        work = _hashing(roots, threads, root, path)
        return _answer(await operations.start(About(OperationKind.CHECKSUM, root, name_to_text(path)), work))

    async def list_operations(_request: web.Request) -> web.Response:
        return answer_json(FileOperations(items=operations.rows()))

    async def find(request: web.Request) -> web.Response:
        return answer_json(operations.find(request.match_info["id"]))

    async def cancel(request: web.Request) -> web.Response:
        return answer_json(await operations.cancel(request.match_info["id"]))

    return [
        web.delete("/files", delete),
        web.post("/files/checksum", checksum),
        web.get("/files/operations", list_operations, allow_head=False),
        web.get("/files/operations/{id}", find, allow_head=False),
        web.delete("/files/operations/{id}", cancel),
    ]


def _removing(roots: Roots, root: str, path: str, *, is_recursive: bool) -> Work:
    async def remove(_tell: Tell) -> OperationResult:
        async with roots.service(roots.choose(root)).borrow() as files:
            await (files.remove_tree(path) if is_recursive else files.remove(path))
        return OperationResult()

    return remove


def _hashing(roots: Roots, threads: ThreadPoolExecutor, root: str, path: str) -> Work:
    async def take_hash(tell: Tell) -> OperationResult:
        async with roots.service(roots.choose(root)).borrow() as files:
            fd, _ = await files.open_to_read(path)
        file, hashing = HeldFile(threads, fd), Hashing()
        try:
            while await asyncio.shield(file.begin(hashing.take)):
                tell(hashing.amount)
        except OSError as exc:
            raise FileRefused(refusal_of(exc).code, path=path) from exc
        finally:
            file.close()
        return OperationResult(files=1, bytes=hashing.amount.byte_count, sha256=hashing.sha256)

    return take_hash


def _answer(operation: FileOperation) -> web.Response:
    return answer_json(operation, status=202 if operation.state is OperationState.RUNNING else 200)

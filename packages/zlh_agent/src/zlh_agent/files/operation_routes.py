"""The agent's calls for work on files that may take long; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.files.long_work import LongWork
from zlh_agent.files.operations import About, OperationService
from zlh_agent.files.presenting_rules import parse_flag, parse_path
from zlh_agent.files.roots import Roots
from zlh_agent.files.routes import answer_json, read_request
from zlh_agent.files.staging_rules import format_of, staging_of
from zlh_common.file_names import name_to_text
from zlh_common.schema.files import (
    ArchiveFiles,
    ChecksumFile,
    CopyFile,
    ExtractArchive,
    FileOperation,
    FileOperations,
    MeasureFolder,
    OperationKind,
    OperationState,
)


def routes(roots: Roots, work: LongWork, operations: OperationService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def delete(request: web.Request) -> web.Response:
        root, path = roots.choose(request.query.get("root")).name, parse_path(request.query.get("path"))
        is_recursive = parse_flag(request.query, "recursive", default=True)
        about = About(OperationKind.DELETE, root, name_to_text(path))
        return _answer(await operations.start(about, work.remove(root, path, is_recursive=is_recursive)))

    async def copy(request: web.Request) -> web.Response:
        asked = await read_request(request, CopyFile)
        root, path, to = roots.choose(asked.root).name, parse_path(asked.path), parse_path(asked.to)
        staging = staging_of(to, operations.new_id())
        about = About(OperationKind.COPY, root, asked.path, asked.to, staging=name_to_text(staging))
        done = work.copy(root, path, to, staging=staging, overwrite=asked.overwrite)
        return _answer(await operations.start(about, done))

    async def archive(request: web.Request) -> web.Response:
        asked = await read_request(request, ArchiveFiles)
        root, to = roots.choose(asked.root).name, parse_path(asked.to)
        paths = [parse_path(path) for path in asked.paths]
        form, staging = format_of(asked.to, asked.format), staging_of(to, operations.new_id())
        about = About(OperationKind.ARCHIVE, root, asked.paths[0], asked.to, staging=name_to_text(staging))
        done = work.pack(root, paths, to, form, staging=staging, replace=asked.replace)
        return _answer(await operations.start(about, done))

    async def extract(request: web.Request) -> web.Response:
        asked = await read_request(request, ExtractArchive)
        root, path, to = roots.choose(asked.root).name, parse_path(asked.path), parse_path(asked.to)
        staging = staging_of(to, operations.new_id())
        about = About(OperationKind.EXTRACT, root, asked.path, asked.to, staging=name_to_text(staging))
        done = work.unpack(root, path, to, staging=staging, overwrite=asked.overwrite)
        return _answer(await operations.start(about, done))

    async def checksum(request: web.Request) -> web.Response:
        asked = await read_request(request, ChecksumFile)
        root = roots.choose(asked.root).name
        about = About(OperationKind.CHECKSUM, root, asked.path)
        return _answer(await operations.start(about, work.checksum(root, parse_path(asked.path))))

    async def measure(request: web.Request) -> web.Response:
        asked = await read_request(request, MeasureFolder)
        root = roots.choose(asked.root).name
        about = About(OperationKind.MEASURE, root, asked.path)
        return _answer(await operations.start(about, work.measure(root, parse_path(asked.path))))

    return [
        web.delete("/files", delete),
        web.post("/files/copy", copy),
        web.post("/files/archive", archive),
        web.post("/files/extract", extract),
        web.post("/files/checksum", checksum),
        web.post("/files/measure", measure),
        *_known_routes(operations),
    ]


def _known_routes(operations: OperationService) -> list[web.AbstractRouteDef]:
    async def list_operations(_request: web.Request) -> web.Response:
        return answer_json(FileOperations(items=operations.rows()))

    async def find(request: web.Request) -> web.Response:
        return answer_json(operations.find(request.match_info["id"]))

    async def cancel(request: web.Request) -> web.Response:
        return answer_json(await operations.cancel(request.match_info["id"]))

    return [
        web.get("/files/operations", list_operations, allow_head=False),
        web.get("/files/operations/{id}", find, allow_head=False),
        web.delete("/files/operations/{id}", cancel),
    ]


def _answer(operation: FileOperation) -> web.Response:
    return answer_json(operation, status=202 if operation.state is OperationState.RUNNING else 200)

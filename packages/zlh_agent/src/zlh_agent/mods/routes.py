"""The agent's calls on mods; shapes stand in docs/agent-protocol.md."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web

from zlh_agent.files.routes import answer_json
from zlh_agent.mods.service import ModService
from zlh_common.errors import InvalidBody
from zlh_common.schema.mods import ChangeProgress, ChangeState, ModChange, ModRollback
from zlh_common.schema.structs import decode

# A thousand mods with all that is said of each.
MAX_REQUEST_BYTES = 8 * 2**20
T = TypeVar("T")


def routes(mods: ModService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def report(_request: web.Request) -> web.Response:
        return answer_json(await mods.report())

    async def change(request: web.Request) -> web.Response:
        return _answer(await mods.begin(await _read(request, ModChange)))

    async def find(request: web.Request) -> web.Response:
        return answer_json(await mods.find(request.match_info["id"]))

    async def verify(_request: web.Request) -> web.Response:
        return answer_json(await mods.verify())

    async def roll_back(request: web.Request) -> web.Response:
        return _answer(await mods.roll_back(await _read(request, ModRollback)))

    return [
        web.get("/mods", report, allow_head=False),
        web.post("/mods/changes", change),
        web.get("/mods/changes/{id}", find, allow_head=False),
        web.post("/mods/verify", verify),
        web.post("/mods/rollback", roll_back),
    ]


def _answer(progress: ChangeProgress) -> web.Response:
    return answer_json(progress, status=202 if progress.state is ChangeState.RUNNING else 200)


async def _read(request: web.Request, shape: type[T]) -> T:
    parts, size = [], 0
    async for part in request.content.iter_chunked(65536):
        size += len(part)
        if size > MAX_REQUEST_BYTES:
            raise InvalidBody(reason=f"it has more than {MAX_REQUEST_BYTES} bytes")
        parts.append(part)
    return decode(b"".join(parts), shape)

"""The agent's calls of the resumable protocol, tus 1.0.0; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from email.utils import format_datetime

from aiohttp import web

from zlh_agent.uploads.bodies import body_of, let_come, refuse_encoded, wait_for_checks
from zlh_agent.uploads.receiving import BodyCut
from zlh_agent.uploads.service import Progress, UploadService
from zlh_agent.uploads.tus_wire import (
    ABOUT,
    PIECE_TYPE,
    SPOKEN,
    VERSION,
    parse_checksum,
    parse_creation,
    parse_offset,
    require_version,
)
from zlh_agent.web.server import REFUSAL_HEADERS, Handler
from zlh_common.schema.file_refusals import UploadTypeWrong
from zlh_common.schema.files import FileUploads
from zlh_common.schema.structs import encode

UPLOADS = "/files/uploads"


def routes(uploads: UploadService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def about(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=ABOUT)

    async def list_uploads(_request: web.Request) -> web.Response:
        return web.Response(
            body=encode(FileUploads(items=tuple(await uploads.rows()))), content_type="application/json"
        )

    async def create(request: web.Request) -> web.Response:
        require_version(request.headers)
        refuse_encoded(request)
        asked = parse_creation(request.headers)
        has_piece = request.content_type == PIECE_TYPE
        checksum = parse_checksum(request.headers.get("Upload-Checksum")) if has_piece else None
        await let_come(request)
        try:
            progress = await uploads.begin(asked, body_of(request) if has_piece else None, checksum)
        except BodyCut as exc:
            raise ConnectionResetError("the body was cut") from exc
        headers = {**_headers(progress), "Location": f"{UPLOADS}/{progress.record.id}"}
        return web.Response(status=201, headers=headers)

    async def look(request: web.Request) -> web.Response:
        require_version(request.headers)
        progress = await uploads.look(request.match_info["id"])
        headers = {"Upload-Length": str(progress.record.size), "Cache-Control": "no-store"}
        return web.Response(status=200, headers={**_headers(progress), **headers})

    async def append(request: web.Request) -> web.Response:
        require_version(request.headers)
        refuse_encoded(request)
        if request.content_type != PIECE_TYPE:
            raise UploadTypeWrong(wanted=PIECE_TYPE)
        offset = parse_offset(request.headers.get("Upload-Offset"), "Upload-Offset")
        checksum = parse_checksum(request.headers.get("Upload-Checksum"))
        await let_come(request)
        try:
            progress = await uploads.append(
                request.match_info["id"], offset, body_of(request), checksum, request.content_length
            )
        except BodyCut as exc:
            raise ConnectionResetError("the body was cut") from exc
        return web.Response(status=204, headers=_headers(progress))

    async def give_up(request: web.Request) -> web.Response:
        require_version(request.headers)
        await uploads.give_up(request.match_info["id"])
        return web.Response(status=204, headers={"Tus-Resumable": VERSION})

    one = UPLOADS + "/{id:[0-9a-f]{32}}"
    return [
        web.options(UPLOADS, about),
        web.options(one, about),
        web.get(UPLOADS, list_uploads, allow_head=False),
        web.post(UPLOADS, _spoken(create), expect_handler=wait_for_checks),
        web.head(one, _spoken(look)),
        web.patch(one, _spoken(append), expect_handler=wait_for_checks),
        web.delete(one, _spoken(give_up)),
    ]


def _spoken(handler: Handler) -> Handler:
    """Have a refusal say which version of the protocol is spoken here, as the protocol wants it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        request[REFUSAL_HEADERS] = SPOKEN
        return await handler(request)

    return answer


def _headers(progress: Progress) -> dict[str, str]:
    return {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(progress.offset),
        "Upload-Expires": format_datetime(progress.record.expires_at, usegmt=True),
    }

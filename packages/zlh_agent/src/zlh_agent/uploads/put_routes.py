"""The agent's call that takes a whole file; shapes and rules stand in docs/agent-protocol.md."""

from __future__ import annotations

from aiohttp import web

from zlh_agent.files.presenting_rules import parse_expected, parse_flag, parse_mode, parse_path, show_entry
from zlh_agent.uploads.bodies import body_of, let_come, refuse_encoded, wait_for_checks
from zlh_agent.uploads.model import Asked
from zlh_agent.uploads.puts import PutService
from zlh_agent.uploads.receiving import BodyCut
from zlh_agent.uploads.tus_wire import parse_repr_digest, refuse_special
from zlh_common.schema.file_refusals import UploadInvalid
from zlh_common.schema.files import MAX_FILE_BYTES
from zlh_common.schema.structs import encode


def routes(puts: PutService) -> list[web.AbstractRouteDef]:
    """Return the routes of this slice, for the composition root to mount."""

    async def put(request: web.Request) -> web.Response:
        asked = _parse_put(request)
        await puts.check(asked)
        await let_come(request)
        try:
            entry, was_there = await puts.put(asked, body_of(request))
        except BodyCut as exc:
            raise ConnectionResetError("the body was cut") from exc
        body = encode(show_entry(entry))
        headers = {"ETag": f'"{entry.version}"'}
        return web.Response(
            body=body, status=200 if was_there else 201, headers=headers, content_type="application/json"
        )

    return [web.put("/files/content", put, expect_handler=wait_for_checks)]


def _parse_put(request: web.Request) -> Asked:
    refuse_encoded(request)
    if request.content_length is None and "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
        raise UploadInvalid(reason="it has neither Content-Length nor Transfer-Encoding: chunked")
    if (request.content_length or 0) > MAX_FILE_BYTES:
        raise UploadInvalid(reason=f"it has more than {MAX_FILE_BYTES} bytes")
    path = parse_path(request.query.get("path"))
    if not path.strip("/") or path.endswith("/"):
        raise UploadInvalid(reason="its path names no file")
    mode = parse_mode(request.query.get("mode"))
    return Asked(
        root=request.query.get("root"),
        path=path,
        size=request.content_length,
        replace=not _must_be_new(request.headers.get("If-None-Match")),
        expected=parse_expected(request.headers.get("If-Match"), path),
        sha256=parse_repr_digest(request.headers.get("Repr-Digest")),
        mode=None if mode is None else refuse_special(mode),
        parents=parse_flag(request.query, "parents", default=False),
    )


def _must_be_new(header: str | None) -> bool:
    """Tell whether `If-None-Match` allows a file that is not there yet alone; raise UploadInvalid for versions."""
    if header is not None and header.strip() != "*":
        # A condition that is not understood must not be passed over.
        raise UploadInvalid(reason="If-None-Match of a file that is written can be * alone")
    return header is not None

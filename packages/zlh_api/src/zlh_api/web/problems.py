"""Errors on their way out: every one becomes a problem document with a stable code."""

from __future__ import annotations

import json

import msgspec
import structlog
from aiohttp import web

from zlh_common.errors import NotFound, ZlhError
from zlh_common.request_ids import HEADER
from zlh_common.schema.problem import PROBLEM_CONTENT_TYPE, render_problem

log = structlog.get_logger()
RETRY_AFTER_S = "2"
TUS_VERSION = "1.0.0"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Internal(ZlhError):
    """Something broke in a way that nobody foresaw."""

    code, status = "internal", 500

    def __init__(self) -> None:
        super().__init__("Something broke on our side. The log has it under the request id.")


class MethodNotAllowed(ZlhError):
    """The path exists, and not for this method."""

    code, status = "method_not_allowed", 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not offered here; {allowed} is.", allowed=allowed)


class BodyTooLarge(ZlhError):
    """The body is larger than this call takes."""

    code, status = "body_too_large", 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The body is larger than the {limit_bytes} bytes that this call takes.", limitBytes=limit_bytes
        )


class RequestRefused(ZlhError):
    """The request is not one that HTTP allows here."""

    code, status = "request_refused", 400

    def __init__(self, reason: str) -> None:
        super().__init__(f"The request is refused: {reason}.")


class HeadersTooLarge(ZlhError):
    """The address or the headers of the request are larger than we read."""

    code, status = "headers_too_large", 431

    def __init__(self, line_bytes: int, headers: int) -> None:
        super().__init__(
            f"The address and each header have at most {line_bytes} bytes, and there are at most {headers} headers."
        )


class TusVersionRefused(ZlhError):
    """The request speaks another version of the protocol for resumable uploads, or says none."""

    code, status = "tus_version_refused", 412

    def __init__(self) -> None:
        super().__init__(f"Uploads need `Tus-Resumable: {TUS_VERSION}`, and this request does not say so.")


class UpgradeRequired(ZlhError):
    """This address is a WebSocket."""

    code, status = "upgrade_required", 426

    def __init__(self) -> None:
        super().__init__("This address speaks WebSocket alone; open it with a client that does.")


def problem_response(error: ZlhError, *, request_id: str) -> web.Response:
    """Return the answer for an error."""
    headers = {HEADER: request_id, "Cache-Control": "no-store"}
    if error.status in {429, 503}:
        headers["Retry-After"] = str(error.data.get("retryAfterS", RETRY_AFTER_S))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = str(error.data["allowed"])
    if isinstance(error, UpgradeRequired):
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    if error.status == 416:
        headers["Content-Range"] = f"bytes */{error.data['size']}"
    if isinstance(error, TusVersionRefused):
        headers["Tus-Version"] = TUS_VERSION
    return web.Response(
        status=error.status,
        headers={**SECURITY_HEADERS, **headers},
        body=_encode(render_problem(error, request_id=request_id)),
        content_type=PROBLEM_CONTENT_TYPE,
    )


def _encode(document: dict[str, object]) -> bytes:
    """Return a document as JSON. It may say a header again, where any bytes can stand: what is no text becomes `?`."""
    return json.dumps(msgspec.to_builtins(document), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def from_http(error: web.HTTPException, request: web.Request) -> ZlhError:
    """Return aiohttp's own refusals in our words."""
    match error:
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(request.method, ", ".join(sorted(error.allowed_methods)))
        case web.HTTPNotFound():
            return NotFound()
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLarge(request.client_max_size)
        case _:
            return RequestRefused(error.reason.lower())

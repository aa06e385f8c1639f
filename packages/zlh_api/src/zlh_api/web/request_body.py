"""The body of a request: JSON of exactly the shape that its endpoint takes, in time, or a refusal that says why not."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from zlh_api.web.endpoint import ANY_TYPE, JSON, Endpoint
from zlh_api.web.large_bodies import ENDS_CONNECTION
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.schema.structs import convert, find_ignored, find_unkept_text, parse_document

MAX_BODY_BYTES = 256 * 1024
# A body of the largest size comes within this over the slowest line that anybody has; one that trickles does not.
BODY_TIMEOUT_S = 20.0


class ContentTypeRefused(ZlhError):
    """The body is not declared to be of the type that this call takes."""

    code, status = "content_type_refused", 415

    def __init__(self, given: str | None, wanted: str = JSON) -> None:
        said = f"not {given[:100]}" if given else "and this request does not say what it is"
        what = "JSON and say so with" if wanted == JSON else "declared with"
        super().__init__(f"The body must be {what} `Content-Type: {wanted}`, {said}.")


class ContentEncodingRefused(ZlhError):
    """The body is compressed."""

    code, status = "content_encoding_refused", 415

    def __init__(self, given: str) -> None:
        super().__init__(f"Bodies are taken as they are, not encoded as {given[:100]}; leave Content-Encoding out.")


class BodyTooSlow(ZlhError):
    """The body did not come in time."""

    code, status, retryable = "body_too_slow", 408, True

    def __init__(self) -> None:
        super().__init__(f"The body did not come within {BODY_TIMEOUT_S:.0f} s; send it at once.")


async def read_body(endpoint: Endpoint, request: web.Request) -> Any:
    """Return the body as the struct that the endpoint takes, None where it takes none or reads it itself."""
    if endpoint.raw is not None:
        _check_encoding(request)
        _check_raw_type(request, endpoint.raw)
    if endpoint.request is None:
        return None
    _check_encoding(request)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        # Nobody knows where the next request would begin.
        request[ENDS_CONNECTION] = True
        raise BodyTooSlow from None
    if not raw and endpoint.is_body_optional:
        raw = b"{}"
    else:
        _check_type(request)
    return parse_body(raw, endpoint)


def parse_body(raw: bytes, endpoint: Endpoint) -> Any:
    """Return a body as what the endpoint takes; raise InvalidBody, which names the field."""
    assert endpoint.request is not None
    document = parse_document(raw)
    if isinstance(document, dict):
        _apply_aliases(document, endpoint.aliases)
    # The shape first, since it names the field.
    body: Any = convert(document, endpoint.request)
    if ignored := find_ignored(document, body):
        raise InvalidBody(reason=f"it has an unknown field `{ignored[:200]}`")
    if found := find_unkept_text(document):
        raise InvalidBody(reason=f"{found} stands in it")
    return body


def _apply_aliases(document: dict[str, Any], aliases: dict[str, str]) -> None:
    """Replace accepted other spellings; both spellings at once are a contradiction."""
    for other, proper in aliases.items():
        if other in document:
            if proper in document:
                raise InvalidBody(reason=f"it has both {other} and {proper}")
            document[proper] = document.pop(other)


def _check_type(request: web.Request) -> None:
    """Refuse what a form of any page could send without being asked (CSRF), and what is not JSON anyway."""
    given = request.headers.getall("Content-Type", [])
    if len(given) != 1 or request.content_type != JSON or (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise ContentTypeRefused(", ".join(given) or None)


def _check_raw_type(request: web.Request, wanted: str) -> None:
    given = request.headers.getall("Content-Type", [])
    if wanted != ANY_TYPE and request.body_exists and (len(given) != 1 or request.content_type != wanted):
        raise ContentTypeRefused(", ".join(given) or None, wanted)


def _check_encoding(request: web.Request) -> None:
    encodings = ", ".join(request.headers.getall("Content-Encoding", []))
    if encodings.strip().lower() not in {"", "identity"}:
        raise ContentEncodingRefused(encodings)

"""From the list of endpoints to a running server: every request passes the gate, every answer has one of two shapes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web

from zlh_api.audit_log.service import AuditLog
from zlh_api.web.client_address import TRUSTED_PROXIES, Proxies, client_address
from zlh_api.web.endpoint import Answer, Call, Endpoint, Unrecorded
from zlh_api.web.gate import Gate
from zlh_api.web.problems import Internal, from_http, problem_response
from zlh_api.web.recording import Recording, record
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.structs import decode, encode, find_ignored

log = structlog.get_logger()
MAX_BODY_BYTES = 256 * 1024
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def build_application(
    endpoints: Sequence[Endpoint], gate: Gate, audit_log: AuditLog, *, trusted_proxies: Proxies = ()
) -> web.Application:
    """Return an application that serves `endpoints` and answers everything else with a problem document.

    What has a word in the audit log is recorded there. `trusted_proxies` are believed in what they say of where a request comes from.
    """
    application = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    application[TRUSTED_PROXIES] = trusted_proxies
    for endpoint in endpoints:
        application.router.add_route(endpoint.method, endpoint.path, _serve(endpoint, gate, audit_log))
    return application


def _serve(
    endpoint: Endpoint, gate: Gate, audit_log: AuditLog
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def carry_out(request: web.Request, recording: Recording | None) -> web.StreamResponse:
        passed = await gate.pass_through(endpoint, request)
        body = await _read_body(endpoint, request)
        if recording is not None:
            await recording.begin()
        pass_again = partial(gate.pass_through, endpoint, request)
        call = Call(request, body, passed, pass_again, recording or Unrecorded())
        return _render(endpoint, await endpoint.handler(call))

    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.act is None:
            return await carry_out(request, None)
        return await record(Recording(audit_log, endpoint, request), partial(carry_out, request))

    return handle


async def _read_body(endpoint: Endpoint, request: web.Request) -> Any:
    if endpoint.request is None:
        return None
    raw = await request.read()
    if not raw and endpoint.is_body_optional:
        raw = b"{}"
    if endpoint.aliases:
        raw = _apply_aliases(raw, endpoint.aliases)
    body: Any = decode(raw, endpoint.request)
    if ignored := find_ignored(raw, body):
        raise InvalidBody(reason=f"it has an unknown field `{ignored[:200]}`")
    return body


def _apply_aliases(raw: bytes, aliases: dict[str, str]) -> bytes:
    """Return the body with accepted other spellings replaced; both spellings at once are a contradiction."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidBody(reason=str(exc)) from exc
    if not isinstance(document, dict):
        return raw
    for other, proper in aliases.items():
        if other in document:
            if proper in document:
                raise InvalidBody(reason=f"it has both {other} and {proper}")
            document[proper] = document.pop(other)
    return msgspec.json.encode(document)


def _render(endpoint: Endpoint, result: Any) -> web.StreamResponse:
    match result:
        case web.StreamResponse():
            return result
        case None:
            return web.Response(status=204)
        case Answer(body=body, status=status, headers=headers):
            return web.Response(
                body=encode(body), status=status or endpoint.status, headers=headers, content_type="application/json"
            )
        case _:
            return web.Response(body=encode(result), status=endpoint.status, content_type="application/json")


@web.middleware
async def _outermost(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give the request an id, turn errors into problems, and log one line."""
    request_id = accept_request_id(request.headers.get(HEADER, ""))
    with following(request_id):
        return await _answer(request, handler, request_id)


async def _answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], request_id: str
) -> web.StreamResponse:
    began = time.monotonic()
    code: str | None = None
    try:
        response = await handler(request)
    except ZlhError as error:
        code, response = error.code, problem_response(error, request_id=request_id)
    except web.HTTPException as error:
        ours = from_http(error, request)
        code, response = ours.code, problem_response(ours, request_id=request_id)
    except asyncio.CancelledError:
        log.info("request.cancelled", method=request.method, path=request.path)
        raise
    except ConnectionError:
        raise
    except Exception:
        log.exception("request.broke", method=request.method, path=request.path)
        code, response = Internal.code, problem_response(Internal(), request_id=request_id)
    if not response.prepared:
        response.headers.setdefault(HEADER, request_id)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    log.info(
        "request.served",
        method=request.method,
        path=request.path,
        status=response.status,
        code=code,
        seconds=round(time.monotonic() - began, 4),
        remote=client_address(request),
    )
    return response

"""From the list of endpoints to a running server: every request passes the gate, every answer has one of two shapes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from zlh_api.web.endpoint import JSON, Answer, Call, Endpoint
from zlh_api.web.etags import answer_unless_known
from zlh_api.web.gate import Gate
from zlh_api.web.path_parameters import check_path
from zlh_api.web.problems import (
    SECURITY_HEADERS,
    Internal,
    RequestRefused,
    UpgradeRequired,
    from_http,
    problem_response,
)
from zlh_api.web.query import read_query
from zlh_api.web.replays import Keeper, answer_once, find_key
from zlh_api.web.request_body import MAX_BODY_BYTES, read_body
from zlh_common.errors import ZlhError
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.structs import encode

log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_application(endpoints: Sequence[Endpoint], gate: Gate, keeper: Keeper) -> web.Application:
    """Return an application that serves `endpoints` and answers everything else with a problem document."""
    application = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    taken = {(endpoint.method, endpoint.path) for endpoint in endpoints}
    for endpoint in endpoints:
        handle = _serve(endpoint, gate, keeper)
        application.router.add_route(endpoint.method, endpoint.path, handle)
        # Whatever can be read can be asked about (RFC 9110, 9.3.2): aiohttp leaves the body out.
        if endpoint.method == "GET" and not endpoint.is_websocket and ("HEAD", endpoint.path) not in taken:
            application.router.add_route("HEAD", endpoint.path, handle)
    return application


def _serve(endpoint: Endpoint, gate: Gate, keeper: Keeper) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        passed = await gate.pass_through(endpoint, request)
        asked = _read_address(endpoint, request)
        _check_upgrade(endpoint, request)
        body = await read_body(endpoint, request)
        call = Call(request, body, passed, partial(gate.pass_through, endpoint, request), asked)
        if endpoint.events and request.method == "HEAD":
            # The stream itself has no end.
            return web.Response(content_type=endpoint.media_type)
        if key := find_key(endpoint, call):
            return await answer_once(endpoint, call, key, keeper)
        return _render(endpoint, request, await endpoint.handler(call))

    return handle


def _check_upgrade(endpoint: Endpoint, request: web.Request) -> None:
    if endpoint.is_websocket and request.headers.get("Upgrade", "").lower() != "websocket":
        raise UpgradeRequired


def _read_address(endpoint: Endpoint, request: web.Request) -> dict[str, Any]:
    """Return what the query asks for; raise where path or query are none of this endpoint."""
    if not endpoint.is_api:
        return {}
    # PUT gives a name to what it makes: its handler says what is wrong with one.
    if endpoint.method != "PUT":
        check_path(request.match_info)
    return read_query(request.query, endpoint.parameters)


def _render(endpoint: Endpoint, request: web.Request, result: Any) -> web.StreamResponse:
    match result:
        case web.StreamResponse():
            return result
        case None:
            return web.Response(status=204)
        case Answer(body=body, status=status, headers=headers):
            answer = web.Response(
                body=encode(body), status=status or endpoint.status, headers=headers, content_type=JSON
            )
        case _:
            answer = web.Response(body=encode(result), status=endpoint.status, content_type=JSON)
    return answer_unless_known(request, answer) if endpoint.has_etag and answer.status == 200 else answer


@web.middleware
async def _outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, turn errors into problems, and log one line."""
    request_id = accept_request_id(request.headers.get(HEADER, ""))
    with following(request_id):
        return await _answer(request, handler, request_id)


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    began = time.monotonic()
    code: str | None = None
    try:
        response = await handler(request)
    except ZlhError as error:
        code, response = error.code, problem_response(error, request_id=request_id)
    except web.HTTPException as error:
        ours = from_http(error, request)
        code, response = ours.code, problem_response(ours, request_id=request_id)
    except web.RequestPayloadError:
        ours = RequestRefused("its body is cut off, or its chunks are none")
        code, response = ours.code, problem_response(ours, request_id=request_id)
        response.force_close()
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
        remote=request.remote,
    )
    return response

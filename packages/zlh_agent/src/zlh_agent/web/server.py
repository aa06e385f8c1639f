"""The agent's HTTP application: who may ask, how errors look, and one log line a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from zlh_agent.web.tls import is_api
from zlh_common.errors import NotFound, RangeUnsatisfiable, ZlhError
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.problem import PROBLEM_CONTENT_TYPE, render_problem
from zlh_common.schema.structs import encode

log = structlog.get_logger()
MAX_BODY_BYTES = 1024 * 1024
# Where a handler puts the headers that its refusals have as well.
REFUSAL_HEADERS = "refusal_headers"
# Where it says that no further request can be read from its connection.
ENDS_CONNECTION = "ends_connection"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ClientNotTrusted(ZlhError):
    """The client's certificate is not the API's."""

    code, status = "client_not_trusted", 403

    def __init__(self) -> None:
        super().__init__("Only the API may speak to an agent.")


class AgentBroke(ZlhError):
    """Something broke in the agent in a way that nobody foresaw."""

    code, status = "agent_broke", 500

    def __init__(self) -> None:
        super().__init__("Something broke in the agent. Its log has it under the request id.")


class RequestNotTaken(ZlhError):
    """The request is not one that the agent takes."""

    code, status = "request_not_taken", 400

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"The agent does not take this request: {reason}.", httpStatus=status)


def build_application(routes: Sequence[web.AbstractRouteDef]) -> web.Application:
    """Return the application that serves `routes`."""
    application = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    application.add_routes(routes)
    return application


@web.middleware
async def _outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = accept_request_id(request.headers.get(HEADER, ""))
    with following(request_id):
        response = await _answer(request, handler, request_id)
    if request.get(ENDS_CONNECTION):
        response.force_close()
    return response


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    began, code = time.monotonic(), None
    try:
        _check_client(request)
        response = await handler(request)
    except ZlhError as error:
        code, response = error.code, _problem(error, request_id)
        response.headers.update(request.get(REFUSAL_HEADERS, {}))
    except web.HTTPNotFound:
        code, response = NotFound.code, _problem(NotFound(), request_id)
    except web.HTTPException as error:
        code, response = RequestNotTaken.code, _problem(RequestNotTaken(error.status, error.reason), request_id)
    except asyncio.CancelledError:
        # A console ends so when the API goes, and is followed by its line like any other call.
        log.info("request.cancelled", method=request.method, path=request.path)
        raise
    except ConnectionError as error:
        # Whoever asked is gone, or must not take what came for the whole: the answer ends with its connection.
        log.info("request.cut", method=request.method, path=request.path, reason=str(error))
        return _cut(request)
    except Exception:
        log.exception("request.broke", method=request.method, path=request.path)
        code, response = AgentBroke.code, _problem(AgentBroke(), request_id)
    log.info(
        "request.served",
        method=request.method,
        path=request.path,
        status=response.status,
        code=code,
        seconds=round(time.monotonic() - began, 4),
    )
    return response


def _check_client(request: web.Request) -> None:
    if not is_api(request.get_extra_info("peercert")):
        raise ClientNotTrusted


def _cut(request: web.Request) -> web.Response:
    """End the connection; return an answer that nobody is there for: an error would be logged as one of ours."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _problem(error: ZlhError, request_id: str) -> web.Response:
    body = encode(render_problem(error, request_id=request_id))
    headers = {"Content-Range": f"bytes */{error.data['size']}"} if isinstance(error, RangeUnsatisfiable) else {}
    return web.Response(status=error.status, body=body, content_type=PROBLEM_CONTENT_TYPE, headers=headers)

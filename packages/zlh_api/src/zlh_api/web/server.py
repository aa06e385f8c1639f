"""From the list of endpoints to a running server: every request passes the gate, every answer has one of two shapes.

A request is judged when it comes in, and what it has begun goes on to its end: all that a call waits for has a time
limit, so its effect is that of one that came just before. Two kinds of call could act on a judgement that is old. One
whose body takes long to arrive is judged anew before its handler is called. One that stays open is watched, and no
answer that goes on is begun for a caller who is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog
from aiohttp import WSCloseCode, web

from zlh_api.audit_log.service import AuditLog
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.web.access_watch import AccessWatch, LongCall
from zlh_api.web.client_address import TRUSTED_PROXIES, Proxies, client_address
from zlh_api.web.endpoint import JSON, Answer, Call, Endpoint, Passed, Policy, Unrecorded
from zlh_api.web.etags import answer_unless_known
from zlh_api.web.gate import FOUND, Gate
from zlh_api.web.large_bodies import ENDS_CONNECTION
from zlh_api.web.open_calls import OpenCalls
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
from zlh_api.web.rate_limits import RateLimited, RateLimits, add_rate_headers
from zlh_api.web.recording import Recording, record
from zlh_api.web.replays import Keeper, answer_once, find_key
from zlh_api.web.request_body import MAX_BODY_BYTES, read_body
from zlh_api.web.request_figures import AGENT_CODES, RequestFigures
from zlh_common.errors import ZlhError
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.structs import encode

log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# A body that takes longer than this to arrive has its sender judged again.
FRESH_S = 0.5


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How often anybody may call, and how many calls may last."""

    rates: RateLimits
    open: OpenCalls


@dataclass(frozen=True, slots=True)
class Entrance:
    """What stands between a request and its handler; whoever serves the application runs `watch` and `audit_log`."""

    gate: Gate
    # What stays open is on its list.
    watch: AccessWatch
    limits: CallLimits
    # What has a word in it is recorded there.
    audit_log: AuditLog
    # What has an Idempotency-Key is carried out once.
    keeper: Keeper
    # What is told of all requests together.
    figures: RequestFigures = field(default_factory=RequestFigures)


@dataclass(slots=True)
class _Course:
    """How far a request has come."""

    policy: Policy
    watched: LongCall | None = None
    # The answer that goes on, once it has begun.
    begun: web.StreamResponse | None = None


_COURSE = web.RequestKey("course", _Course)
_ALWAYS = web.RequestKey("always", Mapping[str, str])
_REQUEST_ID = web.RequestKey("request_id", str)
_ENDPOINT = web.RequestKey("endpoint", Endpoint)
_CODE = web.RequestKey("code", str)
_FIGURES = web.AppKey("figures", RequestFigures)


def build_application(
    endpoints: Sequence[Endpoint], entrance: Entrance, *, trusted_proxies: Proxies = ()
) -> web.Application:
    """Return an application that serves `endpoints` and answers everything else with a problem document.

    `trusted_proxies` are believed in what they say of where a request comes from.
    """
    application = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    application[TRUSTED_PROXIES] = trusted_proxies
    application[_FIGURES] = entrance.figures
    application.on_response_prepare.append(_add_usual)
    application.on_response_prepare.append(_begin)
    application.on_response_prepare.append(add_rate_headers)
    application.on_response_prepare.append(_add_fixed)
    taken = {(endpoint.method, endpoint.path) for endpoint in endpoints}
    for endpoint in endpoints:
        handle = _serve(endpoint, entrance)
        expect = _wait_for_the_handler if endpoint.raw is not None else None
        application.router.add_route(endpoint.method, endpoint.path, handle, expect_handler=expect)
        # Whatever can be read can be asked about (RFC 9110, 9.3.2): aiohttp leaves the body out. A stream has no end at
        # which it would be answered.
        if endpoint.method == "GET" and not endpoint.goes_on and ("HEAD", endpoint.path) not in taken:
            application.router.add_route("HEAD", endpoint.path, handle)
    return application


def _serve(endpoint: Endpoint, entrance: Entrance) -> Handler:
    gate, limits = entrance.gate, entrance.limits

    async def carry_out(request: web.Request, recording: Recording | None) -> web.StreamResponse:
        request[_COURSE] = _Course(endpoint.policy)
        passed = await _pass_gate(endpoint, request, gate, limits.rates)
        asked = _read_address(endpoint, request)
        _check_upgrade(endpoint, request)
        began = time.monotonic()
        body = await read_body(endpoint, request)
        if passed.caller is not None and time.monotonic() - began > FRESH_S:
            passed = await _pass_again(gate, endpoint.policy, passed)
        if recording is not None:
            await recording.begin()
        call = Call(request, body, passed, record=recording or Unrecorded(), _asked=asked)
        customer = None if passed.container is None else passed.container.customer_id
        with limits.open.hold(endpoint, passed.caller, customer=customer):
            if passed.caller is not None and endpoint.goes_on:
                return await _serve_watched(endpoint, call, passed, entrance.watch)
            if key := find_key(endpoint, call):
                return await answer_once(endpoint, call, key, entrance.keeper)
            return _render(endpoint, request, await endpoint.handler(call))

    async def handle(request: web.Request) -> web.StreamResponse:
        request[_ALWAYS], request[_ENDPOINT] = endpoint.always, endpoint
        # What comes too often costs nothing more, not even a record.
        if endpoint.is_counted:
            await limits.rates.admit(endpoint, request)
        if endpoint.act is None:
            return await carry_out(request, None)
        return await record(Recording(entrance.audit_log, endpoint, request), partial(carry_out, request))

    return handle


async def _wait_for_the_handler(request: web.Request) -> None:
    """Ask for no body before somebody reads it: who waits to be asked (`Expect`) sends none that is refused."""
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def _add_usual(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer what each of ours has, those too that begin inside of their handlers."""
    if request_id := request.get(_REQUEST_ID):
        response.headers.setdefault(HEADER, request_id)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


async def _add_fixed(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that each of its endpoint has."""
    response.headers.update(request.get(_ALWAYS, {}))


def _check_upgrade(endpoint: Endpoint, request: web.Request) -> None:
    if endpoint.is_websocket and request.headers.get("Upgrade", "").lower() != "websocket":
        raise UpgradeRequired


async def _pass_again(gate: Gate, policy: Policy, passed: Passed) -> Passed:
    (verdict,) = await gate.pass_again([(policy, passed)])
    if isinstance(verdict, ZlhError):
        raise verdict
    return verdict.passed


async def _serve_watched(endpoint: Endpoint, call: Call, passed: Passed, watch: AccessWatch) -> web.StreamResponse:
    course = call.request[_COURSE]

    def cut() -> None:
        # Before an answer has begun there is nothing that would have to end: the refusal is the answer.
        if course.begun is not None and call.request.transport is not None:
            call.request.transport.abort()

    try:
        async with watch.watching(endpoint.policy, passed, cut=cut) as watched:
            course.watched = watched
            return _render(endpoint, call.request, await endpoint.handler(replace(call, _watched=watched)))
    except ZlhError as error:
        if course.begun is None:
            raise
        is_revoked = course.watched is not None and error is course.watched.refusal
        call.record.note_end("revoked" if is_revoked else "broken", error.code)
        if endpoint.is_transfer:
            # A file that ends in order would look whole.
            cut()
        await _end(course.begun, error)
        return course.begun


async def _begin(request: web.Request, response: web.StreamResponse) -> None:
    """Let nothing that goes on begin for a caller who is not watched, or who has been refused by now."""
    is_whole = isinstance(response, web.Response) and (response.body is None or isinstance(response.body, bytes))
    if is_whole:
        return
    course = request[_COURSE]
    if course.policy is Policy.PUBLIC:
        return
    if course.watched is None:
        raise RuntimeError(f"{request.path} answers bit by bit, and its endpoint says nothing of that")
    if course.watched.refusal is not None:
        raise course.watched.refusal
    course.begun = response


async def _end(response: web.StreamResponse, error: ZlhError) -> None:
    """End an answer that has begun; one that has no way of telling the reason just ends."""
    response.force_close()
    if isinstance(response, web.WebSocketResponse) and not response.closed:
        with contextlib.suppress(ConnectionError):
            await response.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())


async def _pass_gate(endpoint: Endpoint, request: web.Request, gate: Gate, rates: RateLimits) -> Passed:
    """Pass the gate, and let the limits know what it has found out about the credential."""
    try:
        return await gate.pass_through(endpoint, request)
    except NotSignedIn:
        rates.note_bad(endpoint, request)
        raise
    finally:
        found = request.get(FOUND)
        if found is not None and found.caller is not None:
            rates.note_good(endpoint, request, found.caller)


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
    """Give the request an id, turn errors into problems, log one line, and count it."""
    request_id = request[_REQUEST_ID] = accept_request_id(request.headers.get(HEADER, ""))
    began, status = time.monotonic(), None
    try:
        with following(request_id):
            response = await _answer(request, handler, request_id)
        status = response.status
    finally:
        took, code = time.monotonic() - began, request.get(_CODE)
        request.app[_FIGURES].note(request.get(_ENDPOINT), status, took, code=code)
    if request.get(ENDS_CONNECTION):
        response.force_close()
    return response


def _origin_of(error: ZlhError) -> str:
    """Return the code of what has refused: where words of ours tell of an agent's refusal, that of the refusal."""
    cause = error.__cause__
    return cause.code if isinstance(cause, ZlhError) and cause.code.startswith(AGENT_CODES) else error.code


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    began = time.monotonic()
    code: str | None = None
    try:
        response = await handler(request)
    except ZlhError as error:
        code, response = error.code, problem_response(error, request_id=request_id)
        request[_CODE] = _origin_of(error)
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
    if code is not None:
        request.setdefault(_CODE, code)
    if code == RateLimited.code:
        # Told by the limits themselves, a second's refusals in one line.
        return response
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

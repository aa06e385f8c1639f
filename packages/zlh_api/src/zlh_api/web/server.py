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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from zlh_api.audit_log.service import AuditLog
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.web.access_watch import AccessWatch, LongCall
from zlh_api.web.client_address import TRUSTED_PROXIES, Proxies, client_address
from zlh_api.web.endpoint import Answer, Call, Endpoint, Passed, Policy, Unrecorded
from zlh_api.web.gate import FOUND, Gate
from zlh_api.web.open_calls import OpenCalls
from zlh_api.web.problems import Internal, from_http, problem_response
from zlh_api.web.rate_limits import RateLimited, RateLimits, add_rate_headers
from zlh_api.web.recording import Recording, record
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.request_ids import HEADER, accept_request_id, following
from zlh_common.schema.structs import decode, encode, find_ignored

log = structlog.get_logger()
MAX_BODY_BYTES = 256 * 1024
# A body that takes longer than this to arrive has its sender judged again.
FRESH_S = 0.5
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


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


@dataclass(slots=True)
class _Course:
    """How far a request has come."""

    policy: Policy
    watched: LongCall | None = None
    # The answer that goes on, once it has begun.
    begun: web.StreamResponse | None = None


_COURSE = web.RequestKey("course", _Course)


def build_application(
    endpoints: Sequence[Endpoint], entrance: Entrance, *, trusted_proxies: Proxies = ()
) -> web.Application:
    """Return an application that serves `endpoints` and answers everything else with a problem document.

    `trusted_proxies` are believed in what they say of where a request comes from.
    """
    application = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    application[TRUSTED_PROXIES] = trusted_proxies
    application.on_response_prepare.append(_begin)
    application.on_response_prepare.append(add_rate_headers)
    for endpoint in endpoints:
        application.router.add_route(endpoint.method, endpoint.path, _serve(endpoint, entrance))
    return application


def _serve(endpoint: Endpoint, entrance: Entrance) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    gate, limits = entrance.gate, entrance.limits

    async def carry_out(request: web.Request, recording: Recording | None) -> web.StreamResponse:
        request[_COURSE] = _Course(endpoint.policy)
        passed = await _pass_gate(endpoint, request, gate, limits.rates)
        began = time.monotonic()
        body = await _read_body(endpoint, request)
        if passed.caller is not None and time.monotonic() - began > FRESH_S:
            passed = await _pass_again(gate, endpoint.policy, passed)
        if recording is not None:
            await recording.begin()
        call = Call(request, body, passed, record=recording or Unrecorded())
        with limits.open.hold(endpoint, passed.caller):
            if passed.caller is not None and (endpoint.is_websocket or endpoint.is_stream):
                return await _serve_watched(endpoint, call, passed, entrance.watch)
            return _render(endpoint, await endpoint.handler(call))

    async def handle(request: web.Request) -> web.StreamResponse:
        # What comes too often costs nothing more, not even a record.
        await limits.rates.admit(endpoint, request)
        if endpoint.act is None:
            return await carry_out(request, None)
        return await record(Recording(entrance.audit_log, endpoint, request), partial(carry_out, request))

    return handle


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
            return _render(endpoint, await endpoint.handler(replace(call, _watched=watched)))
    except ZlhError as error:
        if course.begun is None:
            raise
        is_revoked = course.watched is not None and error is course.watched.refusal
        call.record.note_end("revoked" if is_revoked else "broken", error.code)
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

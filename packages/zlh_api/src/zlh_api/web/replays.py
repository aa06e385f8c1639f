"""Requests that bring an Idempotency-Key: what they are held to be the same by, and what a second one is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import msgspec
from aiohttp import web

from zlh_api.once.service import Key, Made, digest_of, read_key
from zlh_api.web.endpoint import JSON, Answer, Call, Endpoint, Subject
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.secrets import without_secrets
from zlh_common.schema.structs import encode

REPLAYED = "Idempotent-Replayed"


class SecretShownOnce(ZlhError):
    """This was made already, and its secret was shown with the first answer."""

    code, status = "secret_shown_once", 409

    def __init__(self, made: Any) -> None:
        super().__init__(
            "This Idempotency-Key has made `made` already. Its secret was shown with the first answer and is kept "
            "nowhere; if it was lost, delete what was made and make another with a new key.",
            made=made,
        )


class Keeper(Protocol):
    """Who carries requests out once."""

    async def carry_out(self, key: Key, act: Callable[[], Awaitable[Made]]) -> Made | None:
        """Do it, or return what it was answered with when it was done."""
        ...


def find_key(endpoint: Endpoint, call: Call) -> Key | None:
    """Return the key that a request brings to an endpoint that makes something, and what it stands for."""
    if not endpoint.creates:
        return None
    text = read_key(call.request.headers.getall("Idempotency-Key", []))
    if text is None:
        return None
    # With a token that reaches less than the first one did, it is another request.
    reach = str(call.caller.bound_to or "")
    parts = (endpoint.method, call.request.rel_url.raw_path, reach)
    return Key(call.caller.user_id, text, digest_of(*(part.encode() for part in parts), encode(call.body)))


async def answer_once(endpoint: Endpoint, call: Call, key: Key, keeper: Keeper) -> web.StreamResponse:
    """Carry a request out if its key is new, else answer as the first time."""
    answers: list[Answer] = []

    async def act() -> Made:
        result = await endpoint.handler(call)
        answer = result if isinstance(result, Answer) else Answer(result)
        answers.append(answer)
        return Made(answer.status or endpoint.status, encode(without_secrets(answer.body)))

    kept = await keeper.carry_out(key, act)
    if kept is None:
        answer = answers[0]
        status, body, headers = answer.status or endpoint.status, encode(answer.body), answer.headers
    else:
        _check_still_visible(endpoint, call, kept)
        await _record_replay(endpoint, call, kept)
        if endpoint.shows_secret:
            raise SecretShownOnce(msgspec.json.decode(kept.body))
        status, body, headers = kept.status, kept.body, {REPLAYED: "true"}
    return web.Response(body=body, status=status, headers=headers, content_type=JSON)


async def _record_replay(endpoint: Endpoint, call: Call, kept: Made) -> None:
    """Tell the audit log that nothing was made, and whose log that stands in where the path does not say so."""
    call.record.note("replayed", "true")
    customer = _customer_of(kept) if endpoint.policy.subject is Subject.CALLER else None
    if customer is not None:
        await call.record.charge_to(customer)


def _customer_of(kept: Made) -> UUID | None:
    """Return whose it is what was made, where it says so."""
    made = msgspec.json.decode(kept.body)
    customer = made.get("customerId") if isinstance(made, dict) else None
    return None if customer is None else UUID(customer)


def _check_still_visible(endpoint: Endpoint, call: Call, kept: Made) -> None:
    """Raise NotFound where the caller may no longer see what was made; where the path names it, the gate has looked."""
    if endpoint.policy.subject is not Subject.CALLER:
        return
    customer = _customer_of(kept)
    if customer is not None and not call.caller.may_know(customer):
        raise NotFound

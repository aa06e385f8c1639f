"""Which errors an endpoint can answer with: what follows from its policy, its parameters and its body, and its own."""

from __future__ import annotations

from collections.abc import Iterator

from zlh_api.audit_log.service import ActNotRecorded
from zlh_api.customers.permissions import WHILE_SUSPENDED
from zlh_api.customers.refusals import CustomerSuspended, NotSignedIn, RoleMissing, ScopeMissing, TicketInvalid
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.once.service import IdempotencyKeyBusy, IdempotencyKeyInvalid, IdempotencyKeyReused
from zlh_api.web.endpoint import Endpoint, Subject
from zlh_api.web.gate import OriginRefused
from zlh_api.web.open_calls import TooManyOpen
from zlh_api.web.problems import BodyTooLarge, HeadersTooLarge, Internal, RequestRefused, UpgradeRequired
from zlh_api.web.query import QueryInvalid, QueryUnknown
from zlh_api.web.rate_limits import RateLimited
from zlh_api.web.replays import SecretShownOnce
from zlh_api.web.request_body import BodyTooSlow, ContentEncodingRefused, ContentTypeRefused
from zlh_api.web.request_credentials import SAFE_METHODS
from zlh_common.errors import InvalidBody, NotFound, ZlhError
from zlh_common.schema.file_refusals import REFUSALS as FILE_REFUSALS
from zlh_common.schema.file_refusals import FileRefused
from zlh_common.schema.terminal import SubprotocolMissing, ViewerLimit

_OF_EVERY_CALL = (RequestRefused, HeadersTooLarge, RateLimited, Internal)
_OF_THE_API = (QueryUnknown, QueryInvalid)
_OF_A_BODY = (InvalidBody, BodyTooSlow, BodyTooLarge, ContentTypeRefused, ContentEncodingRefused)
_OF_A_KEY = (IdempotencyKeyInvalid, IdempotencyKeyReused, IdempotencyKeyBusy)
_OF_THE_SIGNED_IN = (NotSignedIn, DatabaseUnavailable)
_OF_A_SOCKET = (SubprotocolMissing, UpgradeRequired, TicketInvalid, ViewerLimit)


def find_refusals(endpoint: Endpoint) -> dict[int, dict[str, str]]:
    """Return {status: {code: what it means}} of what an endpoint can refuse with, in order."""
    found: dict[int, dict[str, str]] = {}
    for error in dict.fromkeys([*_refused_before(endpoint), *endpoint.refusals]):
        found.setdefault(error.status, {})[error.code] = title_of(error)
        if error is FileRefused:
            for one in FILE_REFUSALS.values():
                found.setdefault(one.status, {})[one.code] = one.sentence.format(path="the file")
    return dict(sorted(found.items()))


def title_of(error: type[ZlhError]) -> str:
    """Return what an error means, in a sentence."""
    return (error.__doc__ or error.code).strip().splitlines()[0]


def all_errors() -> Iterator[type[ZlhError]]:
    """Return every error that is loaded and has a code."""
    waiting = [ZlhError]
    while waiting:
        for child in waiting.pop().__subclasses__():
            waiting.append(child)
            yield child


def _refused_before(endpoint: Endpoint) -> Iterator[type[ZlhError]]:
    """Yield what is refused before the handler is asked."""
    yield from _OF_EVERY_CALL
    if endpoint.is_api:
        yield from _OF_THE_API
    if endpoint.act is not None:
        yield ActNotRecorded
    if endpoint.goes_on:
        yield TooManyOpen
    if endpoint.raw is not None:
        yield from (ContentTypeRefused, ContentEncodingRefused)
    if endpoint.request is not None:
        yield from _OF_A_BODY
    if endpoint.creates:
        yield from _OF_A_KEY
        if endpoint.shows_secret:
            yield SecretShownOnce
    if endpoint.is_websocket:
        yield from _OF_A_SOCKET
    yield from _refused_by_gate(endpoint)


def _refused_by_gate(endpoint: Endpoint) -> Iterator[type[ZlhError]]:
    policy = endpoint.policy
    if endpoint.method not in SAFE_METHODS or endpoint.is_websocket:
        yield OriginRefused
    if policy.subject is not Subject.ANYBODY:
        yield from _OF_THE_SIGNED_IN
    if policy.permission is not None:
        yield ScopeMissing
    if policy.subject in {Subject.CONTAINER, Subject.CUSTOMER}:
        yield RoleMissing
        if policy.permission not in WHILE_SUSPENDED:
            yield CustomerSuspended
    if "{" in endpoint.path or policy.subject is Subject.PLATFORM:
        yield NotFound

"""The gate in front of every endpoint: which host was asked, who calls, where from, and may they."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from aiohttp import web

from zlh_api.containers.model import Container
from zlh_api.customers.callers import find_credential
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.customers.refusals import CREDENTIAL_OVER, CustomerSuspended, NotSignedIn, RoleMissing, ScopeMissing
from zlh_api.customers.standings import Standings
from zlh_api.web.endpoint import Endpoint, Passed, Policy, Subject
from zlh_api.web.path_parameters import parse_vmid, read_id
from zlh_api.web.request_credentials import SAFE_METHODS, find_ticket, read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import PLATFORM_PATH, Vmid, is_label

# What was found out of a request so far, also of one that is refused.
FOUND = web.RequestKey("found", Passed)


class OriginRefused(ZlhError):
    """A page of another origin may not act for the signed-in user."""

    code, status = "origin_refused", 403

    def __init__(self, origin: str | None) -> None:
        super().__init__(
            f"Requests with the session cookie must come from the portal's own pages, not from {origin or 'nowhere'}. "
            "Programs send a bearer token instead."
        )


class _Callers(Protocol):
    async def identify_credential(self, credential: Credential) -> Caller: ...
    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential: ...


class _Customers(Protocol):
    async def find_visible(self, caller: Caller, customer_id: UUID) -> Customer: ...


class _Containers(Protocol):
    async def find_visible(self, caller: Caller, vmid: Vmid) -> Container: ...


class _World(Protocol):
    async def look(
        self, credentials: Collection[Credential], vmids: Collection[Vmid], customers: Collection[UUID]
    ) -> Standings: ...


@dataclass(frozen=True, slots=True)
class Renewed:
    """A call that may go on."""

    passed: Passed
    # How long its session or token is still good for; None where that has no end.
    lasts_s: float | None


@dataclass(frozen=True, slots=True)
class Gate:
    """Carries out the policy of an endpoint."""

    callers: _Callers
    customers: _Customers
    containers: _Containers
    # How callers stand, many at a time.
    world: _World
    cookie: SessionCookie
    # Exact origins of our own pages.
    origins: frozenset[str]

    async def pass_through(self, endpoint: Endpoint, request: web.Request) -> Passed:
        """Return who calls and what they mean; raise where the policy says no."""
        _check_host(endpoint, request)
        await self._check_origin(endpoint, request)
        policy = endpoint.policy
        if policy.subject is Subject.ANYBODY:
            return Passed()
        credential = await self._find_credential(endpoint, request)
        caller = await self.callers.identify_credential(credential)
        passed = request[FOUND] = Passed(caller, credential=credential)
        match policy.subject:
            case Subject.CUSTOMER:
                customer = await self.customers.find_visible(caller, read_id(request.match_info, "customer"))
                passed = request[FOUND] = replace(passed, customer=customer)
            case Subject.CONTAINER:
                container = await self.containers.find_visible(caller, parse_vmid(request.match_info["vmid"]))
                passed = request[FOUND] = replace(passed, container=container)
            case _:
                pass
        _check_policy(policy, passed, caller)
        return passed

    async def pass_again(self, calls: Sequence[tuple[Policy, Passed]]) -> list[Renewed | ZlhError]:
        """Say of each call that has passed before whether it would as of now, and why not. One look for all of them."""
        standings = await self.world.look(
            {passed.credential for _, passed in calls if passed.credential is not None},
            {passed.container.vmid for _, passed in calls if passed.container is not None},
            {passed.customer.id for _, passed in calls if passed.customer is not None},
        )
        return [_judge_again(policy, passed, standings) for policy, passed in calls]

    async def _find_credential(self, endpoint: Endpoint, request: web.Request) -> Credential:
        ticket = find_ticket(endpoint, request)
        if ticket is None:
            return find_credential(bearer=read_bearer(request), cookie=self.cookie.read(request))
        return await self.callers.redeem_ticket(ticket, parse_vmid(request.match_info["vmid"]))

    async def _check_origin(self, endpoint: Endpoint, request: web.Request) -> None:
        """What a browser sends by itself, cookie and all, is only believed from our own pages."""
        origins = request.headers.getall("Origin", [])
        origin = origins[0] if len(origins) == 1 else None
        if read_bearer(request) is not None or find_ticket(endpoint, request) is not None:
            return
        has_cookie = self.cookie.read(request) is not None
        if request.method in SAFE_METHODS and not endpoint.is_websocket:
            if has_cookie and endpoint.policy is not Policy.PUBLIC and _is_of_another_page(endpoint, request):
                raise OriginRefused(origin)
            return
        if not origins and not has_cookie:
            return
        if origin not in self.origins:
            await self._find_victim(endpoint, request)
            raise OriginRefused(origin)

    async def _find_victim(self, endpoint: Endpoint, request: web.Request) -> None:
        """Find out in whose name a foreign page has asked, which the record tells, and the answer does not."""
        if endpoint.act is not None:
            with contextlib.suppress(NotSignedIn):
                credential = find_credential(bearer=None, cookie=self.cookie.read(request))
                request[FOUND] = Passed(await self.callers.identify_credential(credential))


def _is_of_another_page(endpoint: Endpoint, request: web.Request) -> bool:
    """Tell whether a page elsewhere asks, as browsers say it; a tab that is led here is somebody's own wish.

    Where the portal is below the same domain as containers, a browser sends its cookie with what their pages ask for.
    What the proxy asks about container hosts is asked by their pages.
    """
    if endpoint.path.startswith(PLATFORM_PATH) or request.headers.get("Sec-Fetch-Dest") == "document":
        return False
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _check_host(endpoint: Endpoint, request: web.Request) -> None:
    """A container's host is the customer's: nothing of ours but /.zlh/ may be served below it, least the portal."""
    if is_label(request.host.lower().partition(".")[0]) and not endpoint.path.startswith(PLATFORM_PATH):
        raise NotFound


def _judge_again(policy: Policy, passed: Passed, standings: Standings) -> Renewed | ZlhError:
    known = standings.people.get(passed.credential) if passed.credential is not None else None
    if known is None:
        return NotSignedIn(CREDENTIAL_OVER)
    if passed.container is not None and passed.container.vmid not in standings.containers:
        return NotFound("container")
    if passed.customer is not None and passed.customer.id not in standings.customers:
        return NotFound("customer")
    try:
        _check_policy(policy, passed, known.caller)
    except ZlhError as error:
        return error
    return Renewed(replace(passed, caller=known.caller), known.lasts_s)


def _check_policy(policy: Policy, passed: Passed, caller: Caller) -> None:
    """Raise where the policy says no to this caller about what has been found."""
    match policy.subject:
        case Subject.CUSTOMER:
            assert passed.customer is not None
            _check_customer(policy, caller, passed.customer.id, "customer")
        case Subject.CONTAINER:
            assert passed.container is not None
            _check_customer(policy, caller, passed.container.customer_id, "container")
        case Subject.PLATFORM:
            if not caller.is_operator:
                raise NotFound
            _check_scope(caller, policy)
        case Subject.CALLER | Subject.ANYBODY:
            _check_scope(caller, policy)


def _check_scope(caller: Caller, policy: Policy) -> None:
    if policy.permission is not None and policy.permission not in caller.scope:
        raise ScopeMissing(policy.permission)


def _check_customer(policy: Policy, caller: Caller, customer_id: UUID, what: str) -> None:
    assert policy.permission is not None
    if not caller.may_know(customer_id):
        raise NotFound(what)
    _check_scope(caller, policy)
    if caller.is_held_back(policy.permission, customer_id):
        raise CustomerSuspended
    if not caller.may(policy.permission, customer_id):
        raise RoleMissing(policy.permission)

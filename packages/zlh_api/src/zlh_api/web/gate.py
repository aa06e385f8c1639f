"""The gate in front of every endpoint: which host was asked, who calls, where from, and may they."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from aiohttp import web

from zlh_api.containers.model import Container
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.web.endpoint import Endpoint, Passed, Policy, Subject
from zlh_api.web.path_parameters import parse_customer, parse_vmid
from zlh_api.web.request_credentials import read_bearer, read_ticket
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import PLATFORM_PATH, Vmid, is_label
from zlh_common.schema.permissions import Permission

# What the ticket of a request was made with, once it is used up.
_CREDENTIAL = web.RequestKey("credential", Credential)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginRefused(ZlhError):
    """A page of another origin may not act for the signed-in user."""

    code, status = "origin_refused", 403

    def __init__(self, origin: str | None) -> None:
        super().__init__(
            f"Requests with the session cookie must come from the portal's own pages, not from {origin or 'nowhere'}. "
            "Programs send a bearer token instead."
        )


class RoleMissing(ZlhError):
    """The caller may know of this, and their role does not allow the act."""

    code, status = "role_missing", 403

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            f"Your role does not include {permission}; ask an owner of the customer for a role that does.",
            permission=permission,
        )


class ScopeMissing(ZlhError):
    """The token was not made for this, whatever its user may do."""

    code, status = "scope_missing", 403

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            f"This token does not carry the scope {permission}; make one that does.", permission=permission
        )


class CustomerSuspended(ZlhError):
    """The customer is held back by the platform; its people may look, and nothing more."""

    code, status = "customer_suspended", 403

    def __init__(self) -> None:
        super().__init__("This customer is suspended, so nothing can be changed or opened; ask who runs the platform.")


class _Callers(Protocol):
    async def identify(self, *, bearer: str | None, cookie: str | None) -> Caller: ...
    async def identify_credential(self, credential: Credential) -> Caller: ...
    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential: ...


class _Customers(Protocol):
    async def find_visible(self, caller: Caller, customer_id: UUID) -> Customer: ...


class _Containers(Protocol):
    async def find_visible(self, caller: Caller, vmid: Vmid) -> Container: ...


@dataclass(frozen=True, slots=True)
class Gate:
    """Carries out the policy of an endpoint."""

    callers: _Callers
    customers: _Customers
    containers: _Containers
    cookie: SessionCookie
    # Exact origins of our own pages.
    origins: frozenset[str]

    async def pass_through(self, endpoint: Endpoint, request: web.Request) -> Passed:
        """Return who calls and what they mean; raise where the policy says no."""
        _check_host(endpoint, request)
        self._check_origin(endpoint, request)
        policy = endpoint.policy
        if policy.subject is Subject.ANYBODY:
            return Passed()
        caller = await self._identify(endpoint, request)
        match policy.subject:
            case Subject.CALLER:
                _check_scope(caller, policy)
                return Passed(caller)
            case Subject.PLATFORM:
                if not caller.is_operator:
                    raise NotFound
                _check_scope(caller, policy)
                return Passed(caller)
            case Subject.CUSTOMER:
                customer = await self.customers.find_visible(caller, parse_customer(request.match_info["customer"]))
                _check_permission(caller, policy, customer.id)
                return Passed(caller, customer=customer)
            case Subject.CONTAINER:
                container = await self.containers.find_visible(caller, parse_vmid(request.match_info["vmid"]))
                _check_permission(caller, policy, container.customer_id)
                return Passed(caller, container=container)

    async def _identify(self, endpoint: Endpoint, request: web.Request) -> Caller:
        ticket = _ticket(endpoint, request)
        if ticket is None:
            return await self.callers.identify(bearer=read_bearer(request), cookie=self.cookie.read(request))
        # It is used up by the first look; every later one is at what it was made with.
        if _CREDENTIAL not in request:
            request[_CREDENTIAL] = await self.callers.redeem_ticket(ticket, parse_vmid(request.match_info["vmid"]))
        return await self.callers.identify_credential(request[_CREDENTIAL])

    def _check_origin(self, endpoint: Endpoint, request: web.Request) -> None:
        """What a browser sends by itself, cookie and all, is only believed from our own pages."""
        origins = request.headers.getall("Origin", [])
        origin = origins[0] if len(origins) == 1 else None
        is_unsafe = request.method not in SAFE_METHODS or endpoint.is_websocket
        if not is_unsafe or read_bearer(request) is not None or _ticket(endpoint, request) is not None:
            return
        if not origins and self.cookie.read(request) is None:
            return
        if origin not in self.origins:
            raise OriginRefused(origin)


def _check_host(endpoint: Endpoint, request: web.Request) -> None:
    """A container's host is the customer's: nothing of ours but /.zlh/ may be served below it, least the portal."""
    if is_label(request.host.lower().partition(".")[0]) and not endpoint.path.startswith(PLATFORM_PATH):
        raise NotFound


def _check_scope(caller: Caller, policy: Policy) -> None:
    if policy.permission is not None and policy.permission not in caller.scope:
        raise ScopeMissing(policy.permission)


def _check_permission(caller: Caller, policy: Policy, customer_id: UUID) -> None:
    assert policy.permission is not None
    _check_scope(caller, policy)
    if caller.is_held_back(policy.permission, customer_id):
        raise CustomerSuspended
    if not caller.may(policy.permission, customer_id):
        raise RoleMissing(policy.permission)


def _ticket(endpoint: Endpoint, request: web.Request) -> str | None:
    """Return the ticket that counts: for a WebSocket of a container, and only without a bearer token."""
    if not endpoint.is_websocket or "vmid" not in request.match_info or read_bearer(request) is not None:
        return None
    return read_ticket(request)

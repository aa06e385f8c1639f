"""HTTP of signing in and out, and of tickets."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from zlh_api.customers.model import Caller, Membership
from zlh_api.customers.service import SESSION_LASTS, AccountSuspended, CustomerService, LoginRefused, SignInBusy
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.request_credentials import read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.schema.account import CustomerRole, Login, Me, Ticket, User
from zlh_common.schema.permissions import Permission
from zlh_common.schema.structs import encode

COOKIE = {"Set-Cookie": "The session, or its end."}


def endpoints(service: CustomerService, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def login(call: Call) -> web.Response:
        caller, token = await service.sign_in(call.body.email, call.body.password)
        response = _me_response(caller)
        cookie.put(response, token.value, lasts=SESSION_LASTS)
        return response

    async def logout(call: Call) -> web.Response:
        token = cookie.read(call.request)
        if token is not None:
            await service.sign_out(token)
        response = web.Response(status=204)
        cookie.put(response, "", lasts=timedelta(0))
        return response

    async def me(call: Call) -> Me:
        return _me(call.caller)

    async def issue_ticket(call: Call) -> Ticket:
        ticket, expires_at = await service.issue_ticket(
            call.container.vmid, bearer=read_bearer(call.request), cookie=cookie.read(call.request)
        )
        return Ticket(ticket=ticket.value, expires_at=expires_at)

    return [
        Endpoint(
            "POST",
            "/api/auth/login",
            Policy.PUBLIC,
            login,
            "Sign in and get a session cookie",
            Login,
            Me,
            headers=COOKIE,
            refusals=(LoginRefused, AccountSuspended, SignInBusy, DatabaseUnavailable),
            name="login",
            example={"email": "name@example.org", "password": "correct horse battery staple"},
        ),
        Endpoint(
            "POST",
            "/api/auth/logout",
            Policy.PUBLIC,
            logout,
            "End the session of the cookie",
            status=204,
            headers=COOKIE,
            refusals=(DatabaseUnavailable,),
            name="logout",
        ),
        Endpoint(
            "POST",
            "/api/containers/{vmid}/tickets",
            Policy.USE_CONSOLE,
            issue_ticket,
            "A ticket that opens one WebSocket of this container, once",
            response=Ticket,
            status=201,
            name="createTicket",
        ),
        Endpoint("GET", "/api/me", Policy.SIGNED_IN, me, "Who one is signed in as", response=Me),
    ]


def _me(caller: Caller) -> Me:
    return Me(
        user=User(id=str(caller.user_id), email=caller.email, is_operator=caller.is_operator),
        customers=tuple(_customer_role(caller, entry) for entry in caller.memberships),
        permissions=tuple(permission for permission in Permission if caller.may(permission)),
    )


def _customer_role(caller: Caller, entry: Membership) -> CustomerRole:
    return CustomerRole(
        id=str(entry.customer_id),
        name=entry.customer_name,
        role=entry.role,
        suspended=entry.is_suspended,
        permissions=tuple(permission for permission in Permission if caller.may(permission, entry.customer_id)),
    )


def _me_response(caller: Caller) -> web.Response:
    return web.Response(body=encode(_me(caller)), content_type="application/json")

"""HTTP of one's own account: signing in and out, sessions, tokens, the password, tickets."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from zlh_api.customers.callers import Callers
from zlh_api.customers.model import Caller
from zlh_api.customers.password_changes import PasswordChanges
from zlh_api.customers.reports import render_me, render_session, render_token
from zlh_api.customers.rules import SESSION_LASTS
from zlh_api.customers.secret import Secret
from zlh_api.customers.sessions import Sessions
from zlh_api.customers.sign_in import PasswordSignIn
from zlh_api.customers.tokens import Tokens, TokenWish
from zlh_api.web.client_address import address_group
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_ids import parse_id
from zlh_api.web.request_client import read_client
from zlh_api.web.request_credentials import read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.schema.account import ApiToken, ChangePassword, CreateToken, Login, Me, Session, Ticket, TokenMade
from zlh_common.schema.lists import Items
from zlh_common.schema.structs import encode

# What holds a secret is kept by nobody on its way.
NO_STORE = {"Cache-Control": "no-store"}


def sign_in_endpoints(sign_in: PasswordSignIn, sessions: Sessions, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoints of signing in and out."""

    async def login(call: Call) -> web.Response:
        client = read_client(call.request)
        proof = await sign_in.prove(call.body.email, call.body.password, client=address_group(client.address))
        caller, token = await sessions.open(proof, client, instead_of=cookie.read(call.request))
        return signed_in(caller, token, cookie)

    async def logout(call: Call) -> web.Response:
        token = cookie.read(call.request)
        if token is not None:
            await sessions.sign_out(token)
        response = web.Response(status=204)
        cookie.put(response, "", lasts=timedelta(0))
        return response

    async def me(call: Call) -> Me:
        return render_me(call.caller)

    public = Policy.PUBLIC
    return [
        Endpoint(
            "POST", "/api/auth/login", public, login, "Sign in and get a session cookie", Login, Me, act="session.open"
        ),
        Endpoint(
            "POST", "/api/auth/logout", public, logout, "End the session of the cookie", status=204, act="session.close"
        ),
        Endpoint("GET", "/api/me", Policy.SIGNED_IN, me, "Who one is signed in as", response=Me),
    ]


def session_endpoints(sessions: Sessions, passwords: PasswordChanges) -> list[Endpoint]:
    """Return the endpoints of sessions, and of the password that opens them."""

    async def change_password(call: Call) -> None:
        await passwords.change(call.caller, current=call.body.current_password, new=call.body.new_password)

    async def list_sessions(call: Call) -> Items[Session]:
        return Items(items=tuple(render_session(call.caller, entry) for entry in await sessions.fetch(call.caller)))

    async def end_session(call: Call) -> None:
        await sessions.end(call.caller, parse_id(call.request.match_info["session"], "session"))

    async def end_others(call: Call) -> None:
        await sessions.end_others(call.caller)

    own = Policy.MANAGE_ACCOUNT
    return [
        Endpoint(
            "POST",
            "/api/me/password",
            own,
            change_password,
            "Choose another password; all other sessions end",
            ChangePassword,
            status=204,
            act="password.change",
        ),
        Endpoint("GET", "/api/sessions", own, list_sessions, "One's own sessions", response=Items[Session]),
        Endpoint("DELETE", "/api/sessions/{session}", own, end_session, "End a session", status=204, act="session.end"),
        Endpoint(
            "POST",
            "/api/sessions/end-others",
            own,
            end_others,
            "End all sessions but the one that asks",
            status=204,
            act="session.end-others",
        ),
    ]


def token_endpoints(tokens: Tokens) -> list[Endpoint]:
    """Return the endpoints of API tokens."""

    async def list_tokens(call: Call) -> Items[ApiToken]:
        return Items(items=tuple(map(render_token, await tokens.fetch(call.caller))))

    async def make_token(call: Call) -> Answer:
        token, secret = await tokens.make(call.caller, _to_wish(call.body))
        return Answer(TokenMade(token=render_token(token), secret=secret.value), headers=NO_STORE)

    async def delete_token(call: Call) -> None:
        await tokens.delete(call.caller, parse_id(call.request.match_info["token"], "token"))

    own = Policy.MANAGE_ACCOUNT
    return [
        Endpoint("GET", "/api/tokens", own, list_tokens, "One's own API tokens", response=Items[ApiToken]),
        Endpoint(
            "POST",
            "/api/tokens",
            own,
            make_token,
            "Make an API token; its secret is shown this once",
            CreateToken,
            TokenMade,
            201,
            act="token.create",
        ),
        Endpoint(
            "DELETE",
            "/api/tokens/{token}",
            own,
            delete_token,
            "End an API token, and all that were made with it",
            status=204,
            act="token.delete",
        ),
    ]


def ticket_endpoints(callers: Callers, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoint of tickets."""

    async def issue(call: Call) -> Answer:
        ticket, expires_at = await callers.issue_ticket(
            call.container.vmid, bearer=read_bearer(call.request), cookie=cookie.read(call.request)
        )
        return Answer(Ticket(ticket=ticket.value, expires_at=expires_at), headers=NO_STORE)

    return [
        Endpoint(
            "POST",
            "/api/containers/{vmid}/tickets",
            Policy.USE_CONSOLE,
            issue,
            "A ticket that opens one WebSocket of this container, once",
            response=Ticket,
            status=201,
            act="ticket.create",
        )
    ]


def signed_in(caller: Caller, token: Secret, cookie: SessionCookie) -> web.Response:
    """Return who is signed in by now, with the cookie of the session."""
    response = web.Response(body=encode(render_me(caller)), content_type="application/json", headers=NO_STORE)
    cookie.put(response, token.value, lasts=SESSION_LASTS)
    return response


def _to_wish(body: CreateToken) -> TokenWish:
    return TokenWish(
        name=body.name,
        # Named twice is named once.
        scopes=None if body.scopes is None else tuple(dict.fromkeys(body.scopes)),
        customer_id=None if body.customer_id is None else parse_id(body.customer_id, "customer"),
        expires_in=timedelta(seconds=body.expires_in_s) if isinstance(body.expires_in_s, int) else body.expires_in_s,
    )

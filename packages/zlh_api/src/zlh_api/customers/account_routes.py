"""HTTP of one's own account: signing in and out, sessions, tokens, the password, tickets."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from aiohttp import web

from zlh_api.customers.callers import Callers, TooManyTickets
from zlh_api.customers.model import Caller
from zlh_api.customers.password_changes import PasswordChanges, PasswordWrong
from zlh_api.customers.passwords import SignInBusy
from zlh_api.customers.refusals import AccountSuspended, LoginRefused, NotSignedIn, TokenBound
from zlh_api.customers.reports import render_me, render_session, render_token
from zlh_api.customers.rules import SESSION_LASTS
from zlh_api.customers.secret import Secret
from zlh_api.customers.sessions import Sessions
from zlh_api.customers.sign_in import PasswordSignIn
from zlh_api.customers.tokens import ScopeNotYours, TokenExceedsMaker, Tokens, TokenWish, TooManyTokens
from zlh_api.customers.tries import TooManyTries
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web.client_address import address_group
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_id, read_part
from zlh_api.web.request_client import read_client
from zlh_api.web.request_credentials import read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.errors import NotFound
from zlh_common.schema.account import ApiToken, ChangePassword, CreateToken, Login, Me, Session, Ticket, TokenMade
from zlh_common.schema.lists import Items
from zlh_common.schema.structs import encode

# What is done with all of them has its own place there.
_ONE_SESSION = "/api/sessions/{session:(?!end-others$)[^/]+}"
COOKIE = {"Set-Cookie": "The session, or its end."}
# What holds a secret is kept by nobody on its way.
NO_STORE = {"Cache-Control": "no-store"}


def sign_in_endpoints(sign_in: PasswordSignIn, sessions: Sessions, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoint of signing in."""

    async def login(call: Call) -> web.Response:
        client = read_client(call.request)
        try:
            proof = await sign_in.prove(call.body.email, call.body.password, client=address_group(client.address))
        except (LoginRefused, AccountSuspended) as error:
            # Of an address that nobody has, nothing is kept: people type passwords into the wrong field.
            if error.user_id is not None:
                call.record.acts_on(f"user {error.user_id}")
            raise
        await call.record.acts_as(proof.caller)
        caller, token = await sessions.open(proof, client, instead_of=cookie.read(call.request))
        call.note("session", caller.credential_id)
        return signed_in(caller, token, cookie)

    return [
        Endpoint(
            "POST",
            "/api/auth/login",
            Policy.PUBLIC,
            login,
            "Sign in and get a session cookie",
            Login,
            Me,
            act="session.open",
            name="login",
            headers=COOKIE,
            refusals=(LoginRefused, AccountSuspended, SignInBusy, TooManyTries, DatabaseUnavailable),
            example={"email": "name@example.org", "password": "correct horse battery staple"},
        ),
    ]


def signed_in_endpoints(sessions: Sessions, callers: Callers, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoints of who one is, and of signing out."""

    async def logout(call: Call) -> web.Response:
        token = cookie.read(call.request)
        if token is not None:
            with contextlib.suppress(NotSignedIn):
                await call.record.acts_as(await callers.identify(bearer=None, cookie=token))
            await sessions.sign_out(token)
        response = web.Response(status=204)
        cookie.put(response, "", lasts=timedelta(0))
        return response

    async def me(call: Call) -> Me:
        return render_me(call.caller)

    return [
        Endpoint(
            "POST",
            "/api/auth/logout",
            Policy.PUBLIC,
            logout,
            "End the session of the cookie",
            status=204,
            act="session.close",
            name="logout",
            headers=COOKIE,
            refusals=(DatabaseUnavailable,),
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
        await sessions.end(call.caller, read_id(call.request.match_info, "session"))

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
            name="changePassword",
            refusals=(
                PasswordWrong,
                SignInBusy,
                TooManyTries,
                TokenBound,
            ),
        ),
        Endpoint(
            "GET",
            "/api/sessions",
            own,
            list_sessions,
            "One's own sessions",
            response=Items[Session],
            refusals=(TokenBound,),
        ),
        Endpoint(
            "DELETE",
            _ONE_SESSION,
            own,
            end_session,
            "End a session",
            status=204,
            act="session.end",
            refusals=(TokenBound,),
        ),
        Endpoint(
            "POST",
            "/api/sessions/end-others",
            own,
            end_others,
            "End all sessions but the one that asks",
            status=204,
            act="session.end-others",
            refusals=(TokenBound,),
        ),
    ]


def token_endpoints(tokens: Tokens) -> list[Endpoint]:
    """Return the endpoints of API tokens."""

    async def list_tokens(call: Call) -> Items[ApiToken]:
        return Items(items=tuple(map(render_token, await tokens.fetch(call.caller))))

    async def make_token(call: Call) -> Answer:
        call.note("name", call.body.name)
        call.note("scopes", "all" if call.body.scopes is None else " ".join(call.body.scopes))
        token, secret = await tokens.make(call.caller, _to_wish(call.body))
        call.record.acts_on(f"token {token.id}")
        return Answer(TokenMade(token=render_token(token), secret=secret.value), headers=NO_STORE)

    async def delete_token(call: Call) -> None:
        await tokens.delete(call.caller, read_id(call.request.match_info, "token"))

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
            creates=True,
            act="token.create",
            refusals=(
                NotFound,
                TokenExceedsMaker,
                ScopeNotYours,
                TooManyTokens,
            ),
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
            act="ticket.issue",
            refusals=(TooManyTickets,),
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
        customer_id=None if body.customer_id is None else read_part("customer", body.customer_id),
        expires_in=timedelta(seconds=body.expires_in_s) if isinstance(body.expires_in_s, int) else body.expires_in_s,
    )

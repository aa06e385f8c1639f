"""HTTP of invitations: asking somebody, and answering."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

from zlh_api.customers.account_routes import NO_STORE, signed_in
from zlh_api.customers.callers import Callers
from zlh_api.customers.emails import EmailInvalid
from zlh_api.customers.invitations import (
    AlreadyMember,
    InvitationForAnother,
    InvitationInvalid,
    Invitations,
    PasswordMissing,
    PasswordNotWanted,
    TooManyInvitations,
)
from zlh_api.customers.model import Caller
from zlh_api.customers.passwords import SignInBusy
from zlh_api.customers.refusals import CustomerSuspended, NotSignedIn, ScopeMissing, TokenBound
from zlh_api.customers.reports import render_invitation, render_me
from zlh_api.customers.routes import ONE
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_id
from zlh_api.web.request_client import read_client
from zlh_api.web.request_credentials import read_bearer
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.schema.account import AcceptInvitation, InvitationSeen, Me, OneTimeCode
from zlh_common.schema.customers import Invitation, InvitationMade, Invite
from zlh_common.schema.lists import Items

# The portal's page that takes a code. It stands behind the #, so no server is ever told.
PAGE = "/invitation#code="


def inviting_endpoints(invitations: Invitations, portal_url: str) -> list[Endpoint]:
    """Return the endpoints of who invites."""

    async def index(call: Call) -> Items[Invitation]:
        return Items(items=tuple(map(render_invitation, await invitations.fetch(call.customer.id))))

    async def invite(call: Call) -> Answer:
        wish = call.body
        call.note("email", wish.email)
        call.note("role", wish.role)
        kept, code = await invitations.invite(
            call.caller,
            call.customer.id,
            email=wish.email,
            role=wish.role,
            expires_in=timedelta(seconds=wish.expires_in_s),
        )
        url = f"{portal_url}{PAGE}{code.value}"
        return Answer(InvitationMade(invitation=render_invitation(kept), code=code.value, url=url), headers=NO_STORE)

    async def withdraw(call: Call) -> None:
        await invitations.withdraw(call.customer.id, read_id(call.request.match_info, "invitation"))

    every, manage = f"{ONE}/invitations", Policy.MANAGE_CUSTOMER
    return [
        Endpoint("GET", every, manage, index, "Who is invited and has not answered", response=Items[Invitation]),
        Endpoint(
            "POST",
            every,
            manage,
            invite,
            "Invite somebody; hand them the link, which is shown this once",
            Invite,
            InvitationMade,
            201,
            creates=True,
            act="invitation.create",
            refusals=(
                EmailInvalid,
                TooManyInvitations,
                AlreadyMember,
            ),
        ),
        Endpoint(
            "DELETE",
            f"{every}/{{invitation}}",
            manage,
            withdraw,
            "Withdraw an invitation",
            status=204,
            act="invitation.withdraw",
        ),
    ]


def answering_endpoints(invitations: Invitations, callers: Callers, cookie: SessionCookie) -> list[Endpoint]:
    """Return the endpoints of who is invited."""
    return [_look_endpoint(invitations), _accept_endpoint(invitations, callers, cookie)]


def _look_endpoint(invitations: Invitations) -> Endpoint:
    async def look(call: Call) -> InvitationSeen:
        found, has_account = await invitations.look(call.body.code)
        return InvitationSeen(
            customer=found.customer_name,
            email=found.email,
            role=found.role,
            expires_at=found.expires_at,
            has_account=has_account,
        )

    return Endpoint(
        "POST",
        "/api/invitations/look",
        Policy.PUBLIC,
        look,
        "What the code of an invitation leads to",
        OneTimeCode,
        InvitationSeen,
        name="lookAtInvitation",
        refusals=(InvitationInvalid, DatabaseUnavailable),
    )


def _accept_endpoint(invitations: Invitations, callers: Callers, cookie: SessionCookie) -> Endpoint:
    async def accept(call: Call) -> Any:
        caller = await _find_caller(call.request)
        wish = call.body

        async def record(invitee: Caller, customer_id: UUID) -> None:
            await call.record.acts_as(invitee)
            await call.record.charge_to(customer_id)

        accepted = await invitations.accept(
            wish.code, caller=caller, password=wish.password, client=read_client(call.request), on_known=record
        )
        if accepted.session is None:
            return render_me(accepted.caller)
        return signed_in(accepted.caller, accepted.session, cookie)

    async def _find_caller(request: web.Request) -> Caller | None:
        """Return who is signed in, or None; a browser may hold the cookie of a session that is over."""
        bearer = read_bearer(request)
        try:
            return await callers.identify(bearer=bearer, cookie=cookie.read(request))
        except NotSignedIn:
            if bearer is not None:
                raise
            return None

    return Endpoint(
        "POST",
        "/api/invitations/accept",
        Policy.PUBLIC,
        accept,
        "Join a customer: with a new password, or signed in as who was invited",
        AcceptInvitation,
        Me,
        act="invitation.accept",
        name="acceptInvitation",
        refusals=(
            NotSignedIn,
            InvitationInvalid,
            ScopeMissing,
            TokenBound,
            InvitationForAnother,
            AlreadyMember,
            PasswordNotWanted,
            PasswordMissing,
            SignInBusy,
            CustomerSuspended,
            *invitations.quota_refusals,
            DatabaseUnavailable,
        ),
    )

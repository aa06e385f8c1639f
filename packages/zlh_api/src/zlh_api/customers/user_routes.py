"""HTTP of all people, for operators, and of the password resets that they hand out."""

from __future__ import annotations

from uuid import UUID

from msgspec import UNSET

from zlh_api.customers.account_routes import NO_STORE
from zlh_api.customers.password_changes import PasswordChanges, PasswordResetInvalid
from zlh_api.customers.passwords import SignInBusy
from zlh_api.customers.refusals import LastOperator, LastOwner
from zlh_api.customers.reports import render_user
from zlh_api.customers.users import Users
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.pages import SEARCH_QUERY, read_page
from zlh_api.web.path_parameters import read_id
from zlh_common.schema.account import PasswordResetMade, PatchUser, ResetPassword, UserReport
from zlh_common.schema.customers import Suspend
from zlh_common.schema.lists import Items

ALL = "/api/users"
ONE = f"{ALL}/{{user}}"
# The portal's page that takes a code. It stands behind the #, so no server is ever told.
PAGE = "/password-reset#code="


def user_endpoints(users: Users) -> list[Endpoint]:
    """Return the endpoints of people."""

    async def index(call: Call) -> Items[UserReport]:
        page = read_page(call, is_search=True)
        found, following = await users.fetch_page(after=page.after, q=page.q, limit=page.limit)
        return Items(items=tuple(map(render_user, found)), next=following or UNSET)

    async def patch(call: Call) -> UserReport:
        call.note("operator", call.body.is_operator)
        return render_user(await users.set_operator(call.caller, _user(call), call.body.is_operator))

    async def suspend(call: Call) -> UserReport:
        call.note("reason", call.body.reason)
        return render_user(await users.suspend(call.caller, _user(call), call.body.reason))

    async def resume(call: Call) -> UserReport:
        return render_user(await users.resume(_user(call)))

    manage = Policy.MANAGE_PLATFORM
    return [
        Endpoint("GET", ALL, Policy.VIEW_PLATFORM, index, "All people", response=Items[UserReport], query=SEARCH_QUERY),
        Endpoint(
            "PATCH",
            ONE,
            manage,
            patch,
            "Make an operator, or no longer",
            PatchUser,
            UserReport,
            act="user.change",
            refusals=(LastOperator,),
        ),
        Endpoint(
            "POST",
            f"{ONE}/suspend",
            manage,
            suspend,
            "Let a user in no more",
            Suspend,
            UserReport,
            act="user.suspend",
            refusals=(
                LastOperator,
                LastOwner,
            ),
        ),
        Endpoint(
            "POST", f"{ONE}/resume", manage, resume, "Let a user in again", response=UserReport, act="user.resume"
        ),
    ]


def reset_endpoints(passwords: PasswordChanges, portal_url: str) -> list[Endpoint]:
    """Return the endpoints of password resets."""

    async def make(call: Call) -> Answer:
        made = await passwords.make_reset(call.caller, _user(call))
        url = f"{portal_url}{PAGE}{made.code.value}"
        body = PasswordResetMade(code=made.code.value, url=url, expires_at=made.expires_at)
        return Answer(body, headers=NO_STORE)

    async def accept(call: Call) -> None:
        await passwords.accept_reset(call.body.code, call.body.new_password, on_known=call.record.acts_as)

    return [
        Endpoint(
            "POST",
            f"{ONE}/password-reset",
            Policy.MANAGE_PLATFORM,
            make,
            "What somebody sets a new password with, once; hand it over",
            response=PasswordResetMade,
            status=201,
            creates=True,
            act="password-reset.create",
            name="createPasswordReset",
        ),
        Endpoint(
            "POST",
            "/api/password-resets/accept",
            Policy.PUBLIC,
            accept,
            "Set a new password with the code of a reset; all sessions end",
            ResetPassword,
            status=204,
            act="password-reset.accept",
            name="acceptPasswordReset",
            refusals=(
                PasswordResetInvalid,
                SignInBusy,
                DatabaseUnavailable,
            ),
        ),
    ]


def _user(call: Call) -> UUID:
    return read_id(call.request.match_info, "user")

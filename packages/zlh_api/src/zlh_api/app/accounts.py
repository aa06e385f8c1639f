"""The parts that are about people: who they are, how they sign in, and what belongs to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zlh_api.app.lent_database import lend_database
from zlh_api.audit_log.service import AuditLog
from zlh_api.customers import account_routes, invitation_routes, routes, user_routes
from zlh_api.customers.callers import Callers
from zlh_api.customers.invitations import Invitations
from zlh_api.customers.last_use import LastUse
from zlh_api.customers.members import Members
from zlh_api.customers.password_changes import PasswordChanges
from zlh_api.customers.passwords import Passwords
from zlh_api.customers.service import CustomerService
from zlh_api.customers.sessions import Sessions
from zlh_api.customers.sign_in import PasswordSignIn
from zlh_api.customers.tokens import Tokens
from zlh_api.customers.tries import Tries
from zlh_api.customers.users import Users
from zlh_api.database.pool import Database
from zlh_api.quotas.service import QuotaService
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.clock import Clock, SystemClock
from zlh_common.schema.customers import Quota


@dataclass(frozen=True, slots=True)
class Accounts:
    """What an API process has about people."""

    callers: Callers
    last_use: LastUse
    sign_in: PasswordSignIn
    sessions: Sessions
    password_changes: PasswordChanges
    tokens: Tokens
    customers: CustomerService
    members: Members
    invitations: Invitations
    users: Users


def make_accounts(database: Database, clock: Clock, quotas: QuotaService) -> Accounts:
    """Make them; nothing is dialled."""
    last_use, passwords, tries = LastUse(database, clock), Passwords(), Tries(database)
    return Accounts(
        callers=Callers(database, last_use),
        last_use=last_use,
        sign_in=PasswordSignIn(database, passwords, tries),
        sessions=Sessions(database),
        password_changes=PasswordChanges(database, passwords, tries),
        tokens=Tokens(database),
        customers=CustomerService(database),
        members=Members(database),
        invitations=Invitations(database, passwords, quotas),
        users=Users(database, passwords),
    )


@asynccontextmanager
async def open_accounts(dsn: str) -> AsyncIterator[tuple[Accounts, AuditLog]]:
    """Lend them to a command, which runs beside the API or without it; raise SchemaTooOld, SchemaTooNew."""
    async with lend_database(dsn) as database:
        clock = SystemClock()
        # No command makes anybody a member who was invited.
        yield make_accounts(database, clock, QuotaService(database, Quota())), AuditLog(database, clock)


def account_endpoints(accounts: Accounts, cookie: SessionCookie, *, portal_url: str) -> list[Endpoint]:
    """Return everything that is answered about people; links lead to the portal."""
    portal_url = portal_url.rstrip("/")
    return [
        *account_routes.sign_in_endpoints(accounts.sign_in, accounts.sessions, cookie),
        *account_routes.signed_in_endpoints(accounts.sessions, accounts.callers, cookie),
        *account_routes.session_endpoints(accounts.sessions, accounts.password_changes),
        *account_routes.token_endpoints(accounts.tokens),
        *account_routes.ticket_endpoints(accounts.callers, cookie),
        *routes.customer_endpoints(accounts.customers),
        *routes.member_endpoints(accounts.members),
        *invitation_routes.inviting_endpoints(accounts.invitations, portal_url),
        *invitation_routes.answering_endpoints(accounts.invitations, accounts.callers, cookie),
        *user_routes.user_endpoints(accounts.users),
        *user_routes.reset_endpoints(accounts.password_changes, portal_url),
    ]

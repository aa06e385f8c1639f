"""Who may call, and what they ask for, without a database."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from zlh_api.containers.model import Container
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.customers.refusals import NotSignedIn, TicketInvalid
from zlh_api.customers.secret import token_digest
from zlh_api.customers.standings import Known, Standings
from zlh_common.errors import NotFound
from zlh_common.names import Vmid


class FakeCallers:
    """Knows callers by the very token that they send."""

    def __init__(self, *, bearers: dict[str, Caller] | None = None, cookies: dict[str, Caller] | None = None) -> None:
        self.bearers = bearers or {}
        self.cookies = cookies or {}
        self.used: set[str] = set()

    async def identify_credential(self, credential: Credential) -> Caller:
        """Return whose credential this is."""
        known = self.find(credential)
        if known is None:
            raise NotSignedIn
        return known

    def find(self, credential: Credential) -> Caller | None:
        """Return whose credential this is, or None."""
        tokens = self.cookies if credential.by_cookie else self.bearers
        return next((caller for token, caller in tokens.items() if token_digest(token) == credential.digest), None)

    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential:
        """Take a ticket that says for whom and for which container it is, once."""
        who, _, number = ticket.partition("-")
        if number != str(vmid) or ticket in self.used:
            raise TicketInvalid
        self.used.add(ticket)
        return Credential(token_digest(who), by_cookie=False)


class FakeContainers:
    """Holds containers in memory."""

    def __init__(self, *containers: Container) -> None:
        self.rows = {container.vmid: container for container in containers}

    async def find_visible(self, caller: Caller, vmid: Vmid) -> Container:
        """Return a container of one of the caller's customers; raise NotFound otherwise."""
        container = self.rows.get(vmid)
        if container is None or not caller.may_know(container.customer_id):
            raise NotFound("container")
        return container


class FakeCustomers:
    """Holds customers in memory."""

    def __init__(self, *customers: Customer) -> None:
        self.rows = {customer.id: customer for customer in customers}

    async def find_visible(self, caller: Caller, customer_id: UUID) -> Customer:
        """Return a customer that the caller may know of; raise NotFound otherwise."""
        customer = self.rows.get(customer_id)
        if customer is None or not caller.may_know(customer_id):
            raise NotFound("customer")
        return customer


class FakeStandings:
    """Looks at the three above."""

    def __init__(self, callers: FakeCallers, containers: FakeContainers, customers: FakeCustomers) -> None:
        self.callers, self.containers, self.customers = callers, containers, customers

    async def look(
        self, credentials: Collection[Credential], vmids: Collection[Vmid], customers: Collection[UUID]
    ) -> Standings:
        """Return how these stand."""
        known = {each: caller for each in credentials if (caller := self.callers.find(each)) is not None}
        return Standings(
            people={each: Known(caller, None) for each, caller in known.items()},
            containers=frozenset(vmid for vmid in vmids if vmid in self.containers.rows),
            customers=frozenset(each for each in customers if each in self.customers.rows),
        )


CUSTOMER = UUID(int=1)
STRANGER = UUID(int=2)

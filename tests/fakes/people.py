"""Who may call, and what they ask for, without a database."""

from __future__ import annotations

from uuid import UUID

from zlh_api.containers.model import Container
from zlh_api.customers.callers import TicketInvalid
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.customers.refusals import NotSignedIn
from zlh_common.errors import NotFound
from zlh_common.names import Vmid


class FakeCallers:
    """Knows callers by the very token that they send."""

    def __init__(self, *, bearers: dict[str, Caller] | None = None, cookies: dict[str, Caller] | None = None) -> None:
        self.bearers = bearers or {}
        self.cookies = cookies or {}
        self.used: set[str] = set()

    async def identify_credential(self, credential: Credential) -> Caller:
        """Return who a ticket stands for."""
        return await self.identify(bearer=credential.digest.decode(), cookie=None)

    async def redeem_ticket(self, ticket: str, vmid: Vmid) -> Credential:
        """Take a ticket that says for whom and for which container it is, once."""
        who, _, number = ticket.partition("-")
        if number != str(vmid) or ticket in self.used:
            raise TicketInvalid
        self.used.add(ticket)
        return Credential(who.encode(), by_cookie=False)

    async def identify(self, *, bearer: str | None, cookie: str | None) -> Caller:
        """Return who sends this; a bearer token counts alone where there is one."""
        known = self.bearers.get(bearer) if bearer is not None else self.cookies.get(cookie or "")
        if known is None:
            raise NotSignedIn
        return known


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


CUSTOMER = UUID(int=1)
STRANGER = UUID(int=2)

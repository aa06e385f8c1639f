"""Customers themselves: who they are, and that they begin and end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from zlh_api.customers import store
from zlh_api.customers.callers import look_again
from zlh_api.customers.model import Caller, Customer
from zlh_api.customers.rules import render_place
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.permissions import Permission


class CustomerNameTaken(ZlhError):
    """There is a customer of this name."""

    code, status = "customer_name_taken", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a customer called {name} already; choose another name.", name=name)


class CustomerNotEmpty(ZlhError):
    """The customer still has containers."""

    code, status = "customer_not_empty", 409

    def __init__(self) -> None:
        super().__init__("This customer still has containers; delete them first, and wait until they are gone.")


class CustomerService:
    """All customers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_visible(self, caller: Caller, customer_id: UUID) -> Customer:
        """Return a customer that the caller may know of; raise NotFound for any other, existing or not."""
        async with self._database.connection() as connection:
            customer = await store.find_customer(connection, customer_id)
        if customer is None or not caller.may_know(customer.id):
            raise NotFound("customer")
        return customer

    async def fetch_page(
        self, caller: Caller, *, after: tuple[datetime, UUID] | None, q: str, limit: int
    ) -> tuple[list[Customer], str | None]:
        """Return customers that the caller may know of, oldest first, and what to ask for the next page."""
        ids = None if caller.is_operator else [entry.customer_id for entry in caller.memberships]
        async with self._database.connection() as connection:
            found = await store.fetch_customers(connection, ids=ids, after=after, q=q, limit=limit + 1)
        return found[:limit], render_place(found[limit - 1]) if len(found) > limit else None

    async def create(self, name: str) -> Customer:
        """Return a new customer, which has nobody yet; raise CustomerNameTaken."""
        customer_id = uuid4()
        async with self._database.transaction() as connection:
            if await store.find_namesake(connection, name) is not None:
                raise CustomerNameTaken(name)
            await store.insert_customer(connection, customer_id, name)
            return await _read(connection, customer_id)

    async def rename(self, caller: Caller, customer_id: UUID, name: str) -> Customer:
        """Give a customer another name and return it; raise CustomerNameTaken.

        That is for operators: by it anybody else would find out who the other customers are.
        """
        async with self._database.transaction() as connection:
            if await store.lock_customer(connection, customer_id) is None:
                raise NotFound("customer")
            await look_again(connection, caller, Permission.MANAGE_CUSTOMER, customer_id)
            if caller.is_operator and await store.find_namesake(connection, name, but=customer_id) is not None:
                raise CustomerNameTaken(name)
            await store.rename_customer(connection, customer_id, name)
            return await _read(connection, customer_id)

    async def delete(self, customer_id: UUID) -> None:
        """Delete a customer with its memberships, invitations and tokens; raise CustomerNotEmpty, NotFound."""
        try:
            async with self._database.transaction() as connection:
                if not await store.delete_customer(connection, customer_id):
                    raise NotFound("customer")
        except asyncpg.ForeignKeyViolationError:
            raise CustomerNotEmpty from None


async def _read(connection: Connection, customer_id: UUID) -> Customer:
    customer = await store.find_customer(connection, customer_id)
    assert customer is not None
    return customer

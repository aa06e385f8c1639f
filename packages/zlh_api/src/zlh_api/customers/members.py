"""Who belongs to a customer, and as what. A customer that has an owner keeps one."""

from __future__ import annotations

from uuid import UUID

from zlh_api.customers import credential_store, store
from zlh_api.customers.callers import look_again
from zlh_api.customers.model import Caller
from zlh_api.customers.refusals import LastOwner
from zlh_api.customers.store import KeptMember
from zlh_api.database.pool import Connection, Database
from zlh_common.errors import NotFound
from zlh_common.schema.permissions import Permission, Role


class Members:
    """The members of all customers; every change is made while the customer is locked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_page(self, customer_id: UUID, *, after: str, limit: int) -> tuple[list[KeptMember], str | None]:
        """Return members by address, and what to ask for the next page."""
        async with self._database.connection() as connection:
            found = await store.fetch_members(connection, customer_id, after=after, limit=limit + 1)
        return found[:limit], found[limit - 1].email if len(found) > limit else None

    async def change_role(self, caller: Caller, customer_id: UUID, user_id: UUID, role: Role) -> KeptMember:
        """Give a member another role and return them; raise NotFound, LastOwner, RoleMissing."""
        async with self._database.transaction() as connection:
            member = await _hold(connection, caller, Permission.MANAGE_CUSTOMER, customer_id, user_id)
            if role is not Role.OWNER:
                await _check_another_owner(connection, customer_id, member)
            await store.set_role(connection, customer_id, user_id, role)
            return await _find(connection, customer_id, user_id)

    async def remove(self, caller: Caller, customer_id: UUID, user_id: UUID) -> None:
        """End a membership; raise NotFound, LastOwner, RoleMissing."""
        async with self._database.transaction() as connection:
            member = await _hold(connection, caller, Permission.MANAGE_CUSTOMER, customer_id, user_id)
            await _end(connection, customer_id, member)

    async def leave(self, caller: Caller, customer_id: UUID) -> None:
        """End the caller's own membership; raise NotFound, LastOwner."""
        async with self._database.transaction() as connection:
            member = await _hold(connection, caller, Permission.MANAGE_ACCOUNT, customer_id, caller.user_id)
            await _end(connection, customer_id, member)


async def _hold(
    connection: Connection, caller: Caller, permission: Permission, customer_id: UUID, user_id: UUID
) -> KeptMember:
    """Lock the customer, see that the caller still may, and return the member."""
    if await store.lock_customer(connection, customer_id) is None:
        raise NotFound("customer")
    await look_again(connection, caller, permission, customer_id)
    return await _find(connection, customer_id, user_id)


async def _find(connection: Connection, customer_id: UUID, user_id: UUID) -> KeptMember:
    member = await store.find_member(connection, customer_id, user_id)
    if member is None:
        raise NotFound("user")
    return member


async def _end(connection: Connection, customer_id: UUID, member: KeptMember) -> None:
    await _check_another_owner(connection, customer_id, member)
    await store.delete_membership(connection, customer_id, member.user_id)
    # They would come to life again with the next invitation.
    await credential_store.delete_bound_tokens(connection, member.user_id, customer_id)


async def _check_another_owner(connection: Connection, customer_id: UUID, member: KeptMember) -> None:
    """An owner goes only where another stays; one who is suspended holds nothing up."""
    is_counted = member.role is Role.OWNER and not member.is_suspended
    if is_counted and not await store.lock_other_owners(connection, customer_id, member.user_id):
        raise LastOwner

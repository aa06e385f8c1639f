"""Quotas: held against by whoever adds something, in the very transaction that adds it; read and set by people."""

from __future__ import annotations

from uuid import UUID

from zlh_api.customers.model import Customer
from zlh_api.customers.refusals import CustomerSuspended
from zlh_api.database.pool import Connection, Database
from zlh_api.quotas import store
from zlh_api.quotas.rules import QuotaExceeded, Usage, decide_quota, is_limited, refuse_excess, report_use
from zlh_api.quotas.store import Held
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.customers import Quota, QuotaUse


class QuotaService:
    """What customers may have, by the platform's defaults and by what operators have set."""

    def __init__(self, database: Database, default: Quota) -> None:
        self._database = database
        self._default = default

    async def hold(self, connection: Connection, customer_id: UUID) -> Held:
        """Keep a customer as it is until the transaction ends; raise NotFound.

        Before anything else of that transaction is locked, or two wait for each other.
        """
        held = await store.hold_customer(connection, customer_id)
        if held is None:
            raise NotFound("customer")
        return held

    async def hold_active(self, connection: Connection, customer_id: UUID) -> Held:
        """Keep a customer as it is until the transaction ends; raise NotFound, CustomerSuspended."""
        held = await self.hold(connection, customer_id)
        if held.is_suspended:
            raise CustomerSuspended
        return held

    async def ensure_room(self, connection: Connection, held: Held, more: Usage) -> None:
        """Return where the customer may have so much more; raise QuotaExceeded.

        It is theirs for the rest of the transaction, since nobody else adds anything while that holds the customer.
        """
        quota = decide_quota(held.own, self._default)
        if is_limited(quota, more):
            refuse_excess(quota, await store.usage_of(connection, held.id), more)

    @property
    def member_refusals(self) -> tuple[type[ZlhError], ...]:
        """What `ensure_member` may raise."""
        return (QuotaExceeded,)

    async def ensure_member(self, connection: Connection, customer_id: UUID) -> None:
        """Return where a customer whose row this transaction holds may have one more member; raise QuotaExceeded."""
        await self.ensure_room(connection, await self.hold(connection, customer_id), Usage(members=1))

    async def fetch_use(self, customer: Customer) -> tuple[QuotaUse, ...]:
        """Return what a customer uses of what they may have."""
        async with self._database.connection() as connection:
            return report_use(customer.quota, self._default, await store.usage_of(connection, customer.id))

    async def set_quota(self, customer_id: UUID, quota: Quota) -> tuple[QuotaUse, ...]:
        """Write what a customer may have, all of it: what is null is the default. Nothing that exists is touched."""
        async with self._database.transaction() as connection:
            if not await store.save_quota(connection, customer_id, quota):
                raise NotFound("customer")
            return report_use(quota, self._default, await store.usage_of(connection, customer_id))

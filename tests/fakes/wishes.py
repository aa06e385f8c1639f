"""What customers want of their containers, written into the database as the service writes it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from zlh_api.containers import store as containers
from zlh_api.database.pool import Connection
from zlh_api.reconcile.plan import first_steps, last_steps
from zlh_common.names import OwnerMark
from zlh_common.schema.spec import WantedRuntime

NODE = WantedRuntime(name="node", version="24.19.0")


async def want_container(
    connection: Connection,
    customer_id: UUID | None = None,
    *,
    name: str | None = None,
    runtimes: Sequence[WantedRuntime] = (NODE,),
    has_dns: bool = False,
) -> OwnerMark:
    """Want a new container for a customer, or for the first of all."""
    owner = OwnerMark(str(uuid4()))
    if customer_id is None:
        customer_id = await connection.fetchval("select id from customers order by name limit 1")
    await containers.insert_container(
        connection, owner=owner, customer_id=customer_id, kind="dev", name=name, runtimes=runtimes
    )
    await containers.insert_steps(connection, owner, first_steps(has_dns=has_dns))
    return owner


async def want_deletion(connection: Connection, owner: OwnerMark, *, has_dns: bool = False) -> None:
    """Want an end of it; for the first time or again."""
    if await containers.mark_deleting(connection, owner):
        await containers.insert_steps(connection, owner, last_steps(has_dns=has_dns))

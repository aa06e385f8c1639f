"""SQL of quotas.

Whoever adds to what a customer has holds the customer's row first: the row of a container and its parts come after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from zlh_api.database.pool import Connection
from zlh_api.quotas.rules import Usage
from zlh_common.schema.customers import Quota
from zlh_common.schema.resources import Resources

# A container of which nobody has said how large it is has these.
_SIZE = Resources()
_USAGE = """
select count(*) as containers,
       count(*) filter (where deleting_at is not null) as deleting,
       coalesce(sum(coalesce((resources ->> 'cpu')::numeric, $2)), 0)::float8 as cpu,
       coalesce(sum(coalesce((resources ->> 'memoryMib')::bigint, $3)), 0)::bigint as memory_mib,
       coalesce(sum(coalesce((resources ->> 'diskMib')::bigint, $4)), 0)::bigint as disk_mib,
       (select count(*) from exposures e join containers o on o.owner = e.owner
        where o.customer_id = $1 and e.addon is null and (e.expires_at is null or e.expires_at > now()))
       + (select count(*) from containers g, jsonb_array_elements(g.game -> 'definition' -> 'ports') as port
        where g.customer_id = $1 and (port ->> 'isPublic')::boolean) as exposures,
       (select count(*) from memberships where customer_id = $1) as members
from containers where customer_id = $1
"""
_read_quota = msgspec.json.Decoder(Quota).decode


@dataclass(frozen=True, slots=True)
class Held:
    """A customer whose row this transaction holds: until it ends, nobody else adds to what they have."""

    id: UUID
    is_suspended: bool
    # What an operator has set.
    own: Quota


async def hold_customer(connection: Connection, customer_id: UUID) -> Held | None:
    """Keep a customer as it is until the transaction ends; None where there is none."""
    row = await connection.fetchrow(
        "select quota::text as quota, suspended_at is not null as is_suspended from customers where id = $1 "
        "for no key update",
        customer_id,
    )
    return None if row is None else Held(customer_id, row["is_suspended"], _read_quota(row["quota"]))


async def usage_of(connection: Connection, customer_id: UUID) -> Usage:
    """Return what a customer has; what is being deleted counts until its row is gone."""
    row: Any = await connection.fetchrow(_USAGE, customer_id, _SIZE.cpu, _SIZE.memory_mib, _SIZE.disk_mib)
    return Usage(**row)


async def save_quota(connection: Connection, customer_id: UUID, quota: Quota) -> bool:
    """Write what holds for a customer; False where there is none."""
    done = await connection.execute(
        "update customers set quota = $2 where id = $1", customer_id, msgspec.to_builtins(quota)
    )
    return bool(done == "UPDATE 1")

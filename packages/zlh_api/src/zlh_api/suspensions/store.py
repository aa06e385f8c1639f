"""SQL of suspensions: of the customer and of all that they have, in one transaction.

The customer's row is written first, so that whoever makes a container for them, which holds that row too, comes before
and is suspended with the rest, or after and is refused.
"""

from __future__ import annotations

from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_common.request_ids import current_request_id

# As a customer's wish: past failures count no more, and work begins at once. In one order, so that no two wait for each
# other.
_MARK = """
update containers set suspended = $2, attempts = 0, held_until = '-infinity', wake_at = now(), request_id = $3
where owner in (
    select owner from containers where customer_id = $1 and suspended <> $2 order by vmid for no key update)
"""


async def save_suspended(connection: Connection, customer_id: UUID, reason: str) -> bool:
    """Write that a customer is suspended and why, from now on or since before; False where there is none."""
    done = await connection.execute(
        "update customers set suspended_at = coalesce(suspended_at, now()), suspended_reason = $2 where id = $1",
        customer_id,
        reason,
    )
    return bool(done == "UPDATE 1")


async def save_resumed(connection: Connection, customer_id: UUID) -> bool:
    """Write that a customer is suspended no more; False where there is none."""
    done = await connection.execute(
        "update customers set suspended_at = null, suspended_reason = null where id = $1", customer_id
    )
    return bool(done == "UPDATE 1")


async def mark_containers(connection: Connection, customer_id: UUID, *, is_suspended: bool) -> None:
    """Write whether the containers of a customer are held off, and wake whoever makes it so."""
    await connection.execute(_MARK, customer_id, is_suspended, current_request_id())

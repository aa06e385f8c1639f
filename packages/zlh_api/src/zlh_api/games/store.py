"""SQL of game servers: what is wanted of one, and the proxy's ports that lead there."""

from __future__ import annotations

from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_common.names import OwnerMark
from zlh_common.schema.template import TemplatePort

# The lowest port that nobody holds; of two who take the same one, the second takes none, and looks again.
_HOLD = """
insert into game_ports (owner, name, protocol, port, public_port)
select $1, $2, $3, $4, p from unnest($5::int[]) as p
where not exists (select from game_ports g where g.protocol = $3 and g.public_port = p)
order by p limit 1 on conflict do nothing
"""
_MOVE = "update game_ports set port = $4 where owner = $1 and name = $2 and protocol = $3"


async def hold_port(connection: Connection, owner: OwnerMark, port: TemplatePort, pool: range) -> bool:
    """Have a port of the pool lead to this one for as long as the container exists; False where none is free.

    One that leads to this name already leads to its new number from now on.
    """
    asked = (UUID(owner), port.name, port.protocol, port.port)
    if await connection.execute(_MOVE, *asked) == "UPDATE 1":
        return True
    while True:
        if await connection.execute(_HOLD, *asked, list(pool)) == "INSERT 0 1":
            return True
        taken = await connection.fetchval(
            "select count(*) from game_ports where protocol = $1 and public_port = any($2::int[])",
            port.protocol,
            list(pool),
        )
        if taken >= len(pool):
            return False

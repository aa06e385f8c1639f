"""SQL of nodes: since when each is as it is, and what ours on it may use together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from zlh_api.database.pool import Connection
from zlh_api.nodes.rules import Load
from zlh_common.names import Vmid

# How long a look of one process counts for those that cannot ask.
LOST_S = 90
# Only what has become another, or was written a while ago, is written: this is asked for again and again.
_NOTE = """
with seen as (select * from unnest($1::text[], $2::text[]) as x(name, state)),
gone as (delete from nodes_seen where not name = any($1)),
changed as (
    insert into nodes_seen as n (name, state) select x.name, x.state from seen x
    where not exists (select from nodes_seen o where o.name = x.name and o.state = x.state
        and o.noted_at > now() - interval '20 seconds')
    on conflict (name) do update set state = excluded.state, noted_at = now(),
        since = case when n.state = excluded.state then n.since else now() end
    returning name, since)
select name, since from changed
union all
select n.name, n.since from nodes_seen n join seen x using (name, state)
"""
# Who cannot ask takes back nothing that another process has found meanwhile.
_LOST = f"""
with lost as (
    update nodes_seen set state = 'unknown', since = noted_at
    where state <> 'unknown' and noted_at < now() - interval '{LOST_S} seconds')
select name, case when state = 'unknown' then since else noted_at end as since from nodes_seen order by name
"""
_LOADS = """
select {node} as node, c.guest, count(*)::int as count,
    sum((c.resources ->> 'cpu')::numeric)::float8 as cpu,
    sum((c.resources ->> 'memoryMib')::bigint)::bigint as memory_mib,
    sum((c.resources ->> 'diskMib')::bigint)::bigint as disk_mib
from containers c {source} group by 1, 2
"""
_ON_ONE = _LOADS.format(node="''", source="")
_ON_EACH = _LOADS.format(
    node="coalesce(p.node, '')",
    # What stands in our place and is not ours is nothing of ours on that node.
    source="left join unnest($1::integer[], $2::text[]) as p(vmid, node) on p.vmid = c.vmid and c.guest <> 'foreign'",
)


async def note_states(connection: Connection, states: Mapping[str, str]) -> dict[str, datetime]:
    """Write how the nodes are, all that there are; return since when each has been so."""
    rows = await connection.fetch(_NOTE, list(states), list(states.values()))
    return {row["name"]: row["since"] for row in rows}


async def note_lost(connection: Connection) -> dict[str, datetime]:
    """Write of those that nobody has seen for LOST_S that they are unknown.

    Return all that there were, and when each was seen last.
    """
    return {row["name"]: row["since"] for row in await connection.fetch(_LOST)}


async def fetch_loads(connection: Connection, placed: tuple[Sequence[Vmid], Sequence[str]] | None) -> dict[str, Load]:
    """Return what ours may use on each node, and below "" those on none; all of them where nothing is `placed`."""
    if placed is None:
        rows = await connection.fetch(_ON_ONE)
    else:
        rows = await connection.fetch(_ON_EACH, list(placed[0]), list(placed[1]))
    loads: dict[str, Load] = {}
    for row in rows:
        load = loads.get(row["node"], Load())
        loads[row["node"]] = Load(
            {**load.containers, row["guest"]: row["count"]},
            load.cpu + row["cpu"],
            load.memory_mib + row["memory_mib"],
            load.disk_mib + row["disk_mib"],
        )
    return loads

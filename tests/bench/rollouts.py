"""How long it takes to begin a roll-out over a large fleet, and to look how it goes."""

from __future__ import annotations

import time
from functools import partial
from uuid import UUID

import asyncpg

from bench.measure import Case, Row, Run, at_most
from bench.real_api import RealApi
from zlh_api.agents.client import AgentAddress, AgentClient
from zlh_api.database.pool import Database
from zlh_api.rollouts.service import RolloutService
from zlh_api.rollouts.worker import RolloutWorker
from zlh_common.schema.catalog import Offer, RuntimeVersionOffer
from zlh_common.schema.rollouts import StartRollout

CONTAINERS = (10_000, 500)
AT_ONCE = 50
_OFFERS = (
    Offer(
        name="zlh-agent",
        title="Agent",
        versions=(
            RuntimeVersionOffer(
                version="9.0.0", channel="stable", platforms=("linux-x86_64",), default=True, licence="MIT", size=1
            ),
        ),
    ),
)
# Reports of agents have some kilobytes.
_FILL = """
insert into containers (owner, vmid, customer_id, kind, name, guest, connection, address, provisioned_at, observed_at,
                        wake_at, spec, agent_status)
select gen_random_uuid(), 100000 + n, (select id from customers limit 1), 'dev', 'fleet-' || n, 'running', 'online',
       '10.0.0.0'::inet + n, now(), now(), 'infinity', '{}',
       jsonb_build_object('agentVersion', '1.0.0', 'protocolVersion', 10, 'observedGeneration', 0,
                          'agent', jsonb_build_object('version', '1.0.0'),
                          'steps', (select jsonb_agg(md5(n::text || i)) from generate_series(1, 80) i))
from generate_series(1, $1) n
"""


class _SilentAgents(AgentClient):
    """Take every order, and say nothing of it."""

    def __init__(self) -> None:
        pass

    async def call(
        self, agent: AgentAddress, method: str, path: str, *, body: bytes | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """Answer that it will be done."""
        return b"{}"


async def _start_ms(service: RolloutService) -> float:
    began = time.perf_counter()
    await service.start(StartRollout(version="9.0.0", at_once=AT_ONCE), started_by="bench")
    return (time.perf_counter() - began) * 1e3


async def _look_ms(connection: asyncpg.Connection, worker: RolloutWorker) -> float:
    """Return how long one look takes while as many are under way as may be, in the last wave."""
    await connection.execute("update rollouts set due_at = now(), wave = 3 where state = 'running'")
    began = time.perf_counter()
    await worker.look()
    return (time.perf_counter() - began) * 1e3


async def rollouts(run: Run) -> list[Row]:
    """Begin one, and look at it in its largest wave."""
    count, api = run.choose(*CONTAINERS), RealApi.make(run)
    async with api.database():
        database = Database(api.dsn)
        connection = await asyncpg.connect(api.dsn)
        try:
            await connection.execute("insert into customers values ($1, 'bench') on conflict do nothing", UUID(int=1))
            await connection.execute("alter table containers disable trigger user")
            await connection.execute(_FILL, count)
            await connection.execute("alter table containers enable trigger user")
            await connection.execute("analyze")
            service = RolloutService(database, lambda: _OFFERS)
            begun = await run.side_by_side("rollouts.start", {"ours": partial(_start_ms, service)})
            await connection.execute("update rollout_members set state = 'updated' where wave = 0")
            worker = RolloutWorker(database, _SilentAgents(), agent_port=7443)
            looks = await run.side_by_side("rollouts.look", {"ours": partial(_look_ms, connection, worker)})
        finally:
            await connection.close()
            await database.close()
    note = f"{count:,} containers"
    return [
        begun.alone("rollouts.start", "ms", budget=at_most(5000), note=note),
        looks.alone("rollouts.look", "ms", budget=at_most(500), note=f"{note}, {AT_ONCE} under way"),
    ]


CASES = (Case("rollouts", "beginning a roll-out, and looking how it goes", rollouts),)

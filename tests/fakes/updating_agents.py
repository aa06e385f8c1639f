"""A fleet of agents that bring themselves to another version when they are told, each as the test says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from fakes.agents import FakeAgents
from fakes.api_world import World
from fakes.wishes import want_container
from zlh_api.agents.client import AgentAddress
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState, StartAgentUpdate
from zlh_common.schema.catalog import Artifact, CatalogAgent, CatalogVersion
from zlh_common.schema.structs import decode, encode

OLD, NEW, NEWER = "0.9.0", "0.10.0", "0.11.0"


class UpdatingAgents(FakeAgents):
    """Takes every order; `fate` says how one ends, and None that it does not yet."""

    def __init__(self, world: World) -> None:
        super().__init__(world.faults, world.database)
        self.orders: list[tuple[OwnerMark, StartAgentUpdate]] = []
        self.refusals: dict[OwnerMark, ZlhError] = {}
        self.fate: Callable[[OwnerMark], AgentUpdateState | None] = lambda _owner: AgentUpdateState.DONE

    async def call(
        self, agent: AgentAddress, method: str, path: str, *, body: bytes | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """Take an order, and report what has become of it before the answer is there."""
        assert (method, path) == ("POST", "/update")
        assert body is not None
        async with self.faults.call("update"):
            order = decode(body, StartAgentUpdate)
            self.orders.append((agent.owner, order))
            if error := self.refusals.get(agent.owner):
                raise error
            state = self.fate(agent.owner)
            if state is not None:
                await tell_outcome(self, agent.owner, order, state)
            return b"{}"

    def told(self) -> list[OwnerMark]:
        """Return whom anything was told, in the order of the calls."""
        return [owner for owner, _ in self.orders]


async def tell_outcome(
    agents: FakeAgents, owner: OwnerMark, order: StartAgentUpdate, state: AgentUpdateState, **fields: Any
) -> None:
    """Have an agent report where its update stands, and run under the version that this means."""
    is_new = state in {AgentUpdateState.DONE, AgentUpdateState.PROVING, AgentUpdateState.PROBATION}
    told = AgentUpdate(
        version=order.version, attempt=order.attempt, state=state, before=OLD, started_at=datetime.now(UTC), **fields
    )
    version = order.version if is_new else OLD
    async with agents.database.connection() as connection:
        await connection.execute(
            "update containers set observed_at = now(), connection = 'online', "
            "agent_status = agent_status || $2::jsonb where owner = $1",
            UUID(owner),
            {"agentVersion": version, "agent": {"version": version, "update": msgspec.json.decode(encode(told))}},
        )


async def run_fleet(world: World, count: int, *, version: str = OLD, protocol: int = 10) -> list[OwnerMark]:
    """Return containers that run, with agents of this version that are online and at rest."""
    owners = []
    async with world.database.transaction() as connection:
        begin = await connection.fetchval("select count(*) from containers")
        for number in range(begin, begin + count):
            owner = await want_container(connection, name=f"fleet-{number}")
            owners.append(owner)
            await connection.execute(
                "update containers set guest = 'running', address = $2::text::inet, connection = 'online', "
                "provisioned_at = now(), observed_at = now(), wake_at = now() + interval '1 day', "
                "agent_status = $3::jsonb || jsonb_build_object('observedGeneration', spec_generation) "
                "where owner = $1",
                UUID(owner),
                f"127.77.{number // 250}.{number % 250 + 1}",
                {"agentVersion": version, "protocolVersion": protocol, "agent": {"version": version}},
            )
    return owners


def offer_agents(world: World, *versions: str) -> None:
    """Have the catalog offer these versions of the agent's bundle."""
    archive = Artifact(
        platform=this_platform(), path="archives/agent.tar.zst", size=1, unpacked_size=1, entries=1, sha256="0" * 64,
        source="zlh", source_sha256="0" * 64,
    )  # fmt: skip
    offered = tuple(
        CatalogVersion(version=each, channel="stable", default=each == versions[0], licence="MIT", artifacts=(archive,))
        for each in versions
    )
    bundle = CatalogAgent(name="zlh-agent", title="Agent", versions=offered)
    world.catalog._catalog = msgspec.structs.replace(world.catalog.current(), agents=(bundle,))

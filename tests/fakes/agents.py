"""Agents that take every spec, and a link that writes what they report into the row."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from fakes.faults import Faults
from zlh_api.agents.client import AgentAddress, AgentClient
from zlh_api.database.pool import Database
from zlh_common.names import OwnerMark
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import encode


class FakeAgents(AgentClient):
    """Answers for every agent; what it is told has been reached at once."""

    def __init__(self, faults: Faults, database: Database) -> None:
        self.faults = faults
        self.database = database
        self.specs: dict[OwnerMark, AgentSpec] = {}
        # How far an agent says it is behind the spec that it took.
        self.lags = 0
        # Whether there is a link that hears the agents.
        self.is_linked = True
        # What every agent answers to a call that is not known here.
        self.answer = b"{}"

    def report(self, owner: OwnerMark) -> AgentStatus:
        """Return what one agent says of itself."""
        spec = self.specs.get(owner)
        generation = max(0, spec.generation - self.lags) if spec else 0
        now = datetime.now(UTC)
        return AgentStatus(
            protocol_version=1,
            agent_version="0.1.0",
            owner=owner,
            boot_id="boot",
            started_at=now,
            observed_at=now,
            spec_generation=generation,
            observed_generation=generation,
        )

    async def put_spec(self, agent: AgentAddress, spec: AgentSpec) -> AgentStatus:
        """Take the spec."""
        async with self.faults.call("put_spec"):
            self.specs[agent.owner] = spec
            if self.is_linked:
                await self.note_online(agent.owner)
            return self.report(agent.owner)

    async def call(self, agent: AgentAddress, method: str, path: str, *, body: bytes | None = None) -> bytes:
        """Answer whatever the test says."""
        async with self.faults.call("call"):
            return self.answer

    async def note_online(self, owner: OwnerMark) -> None:
        """Write what the link would when the agent reports."""
        report = msgspec.json.decode(encode(self.report(owner)))
        async with self.database.connection() as connection:
            await connection.execute(
                "update containers set connection = 'online', agent_status = $2, observed_at = now(), "
                "wake_at = least(wake_at, now()) where owner = $1",
                UUID(owner),
                report,
            )

    async def note_offline(self, owner: OwnerMark) -> None:
        """Write what the link would when the agent falls silent."""
        async with self.database.connection() as connection:
            await connection.execute(
                "update containers set connection = 'offline', wake_at = least(wake_at, now()) where owner = $1",
                UUID(owner),
            )

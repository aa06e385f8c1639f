"""How agents are reached: the CAs, by whose word API and agents know each other, and the client that dials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient
from zlh_api.agents.pins import RowPins
from zlh_api.authority.service import AuthorityService
from zlh_api.config.model import ApiConfig
from zlh_api.database.pool import Database
from zlh_common.clock import Clock


@dataclass(frozen=True, slots=True)
class Agents:
    """What an API process has to do with agents as a whole."""

    client: AgentClient
    # What it issues certificates with, and what has that changed for all processes.
    authority: Authority
    rotation: AuthorityService


@asynccontextmanager
async def open_agents(config: ApiConfig, database: Database, clock: Clock) -> AsyncIterator[Agents]:
    """Give them, and close every connection to an agent at the end; CAs that are missing are made."""
    authority = await asyncio.to_thread(Authority, config.keys_dir, clock)
    context = await asyncio.to_thread(authority.client_context)
    async with AgentClient(context, RowPins(database)) as client:
        rotation = AuthorityService(database, authority, clock)
        rotation.on_context = client.use
        yield Agents(client, authority, rotation)

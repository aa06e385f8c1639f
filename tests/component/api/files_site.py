"""A served API with one container whose agent has files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import NODE, World
from fakes.files_agent import FilesAgent, serving

Client = TestClient[Request, Application]
OWNER = {"Authorization": "Bearer owner-token"}


@dataclass
class Site:
    """A served API with one container whose agent has files."""

    world: World
    client: Client
    agent: FilesAgent
    url: str


@asynccontextmanager
async def opened_site(world: World, folder: Path) -> AsyncIterator[Site]:
    """Make a container that is up, and an agent that speaks of files."""
    agent = FilesAgent()
    world.agents.protocol_version = 8
    async with serving(agent, folder / "served") as served, world.reconciler(), world.client() as client:
        world.agents.files = served
        made = await client.post("/api/containers", json=NODE, headers=OWNER)
        vmid = (await made.json())["vmid"]
        await world.wait_until("select guest = 'running' and agent_status is not null from containers")
        yield Site(world, client, agent, f"/api/containers/{vmid}/files")


async def code_of(answer: object) -> tuple[int, str]:
    """Return status and code of a refusal."""
    assert hasattr(answer, "status")
    return answer.status, (await answer.json())["code"]  # type: ignore[attr-defined]

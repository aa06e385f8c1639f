"""Fixtures: a shop, its origin, and an agent of its own process that installs from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, end, make_agent
from fakes.artifact_origin import ArtifactOrigin
from fakes.certificates import Certificates
from fakes.runtime_shop import RuntimeShop, make_shop


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """Return a shop with two versions of `tiny`."""
    return make_shop(tmp_path / "shop", "1.0", "2.0")


@pytest.fixture
async def origin(shop: RuntimeShop) -> AsyncIterator[ArtifactOrigin]:
    """Serve the shop."""
    async with ArtifactOrigin(shop.tree) as running:
        yield running


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return the two CAs of an installation."""
    return Certificates(tmp_path / "keys")


@pytest.fixture
def unstarted(tmp_path: Path, shop: RuntimeShop, origin: ArtifactOrigin, certificates: Certificates) -> AgentProcess:
    """Return an agent that nobody has started."""
    return make_agent(tmp_path / "agent", certificates, url=origin.url, trusted_root=shop.trusted_root)


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves."""
    try:
        await unstarted.start()
        yield unstarted
    finally:
        await end(unstarted)

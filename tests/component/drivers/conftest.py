"""What the tests of the `proxmox` driver share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from component.drivers.proxmox_trial import Trial
from fakes.proxmox.world import TEMPLATE, open_world


@pytest.fixture
async def trial() -> AsyncIterator[Trial]:
    """A guest that nobody has made yet."""
    async with open_world() as world:
        trial = Trial(world)
        yield trial
        await trial.driver.close()


@pytest.fixture
async def cloning() -> AsyncIterator[Trial]:
    """The same where guests are cloned."""
    async with open_world(template=TEMPLATE) as world:
        trial = Trial(world)
        yield trial
        await trial.driver.close()

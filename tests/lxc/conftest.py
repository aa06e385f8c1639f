"""Containers for the tests of this folder, from a template that is built once a checkout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost, own_host

# Less than a minute on a machine that does nothing else.
TEMPLATE_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test time for the template too: whoever comes first builds it, and all others wait for that."""
    for item in items:
        own = item.get_closest_marker("timeout")
        if own is not None and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(own.args[0] + TEMPLATE_S), append=False)


@pytest.fixture
async def host() -> AsyncIterator[OwnHost]:
    """A bridge and a driver that nobody else has."""
    async with own_host() as host:
        yield host


@pytest.fixture
async def guest(host: OwnHost) -> AsyncIterator[Guest]:
    """A container whose agent is online."""
    async with running_guest(host) as guest:
        await guest.wait_online()
        yield guest

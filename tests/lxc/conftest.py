"""Containers for the tests of this folder, from a template that is built once a machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost, own_host


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

"""Containers for the tests of this folder, from a template that is built once a machine."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from guards import network
from lxc.guest import Bridge, Guest, ensure_template, made_bridge, running_guest


@pytest.fixture(scope="session")
def template() -> Path:
    """The template with the agent of this checkout."""
    return ensure_template()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the container's users may pass, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="zlh-lxc-") as folder:
        Path(folder).chmod(0o711)
        for above in Path(folder).parents[:-2]:
            above.chmod(above.stat().st_mode | 0o011)
        yield Path(folder)


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    """A bridge that leads nowhere."""
    with made_bridge() as made:
        yield made


@pytest.fixture
async def guest(template: Path, place: Path, bridge: Bridge) -> AsyncIterator[Guest]:
    """A container whose agent is online."""
    async with running_guest(template, place, bridge) as guest:
        network.own_test_hosts.add(guest.address)
        await guest.wait_online()
        yield guest
    network.own_test_hosts.discard(guest.address)

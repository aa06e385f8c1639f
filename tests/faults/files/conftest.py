"""A customer's folder, while somebody attacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from fakes.hostile_files import Ground, made_ground, opened
from zlh_agent.files.beneath import Root
from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService


@pytest.fixture
def ground() -> Iterator[Ground]:
    """Two folders: the root, and what must not be touched."""
    with made_ground() as made:
        yield made
        assert made.is_untouched()


@pytest.fixture
def root(ground: Ground) -> Iterator[Root]:
    """The root, opened in this process."""
    with opened(ground.inside) as root:
        yield root


@pytest.fixture
async def service(ground: Ground) -> AsyncIterator[FileService]:
    """Children that work on the root as its user."""
    service = FileService(FilePlace(str(ground.inside), ground.own()))
    yield service
    await service.close()

"""A customer's folder in memory: disks take their time, and here children are killed by the hundred."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.archives.harness import Workshop
from fakes.hostile_files import made_ground


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """A root, and outside of it what must not be touched."""
    with made_ground(in_memory=True) as ground:
        yield Workshop(ground)
        assert ground.is_untouched()

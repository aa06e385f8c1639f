"""A customer's folder, and who makes and unpacks archives in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.archives.harness import Workshop
from fakes.hostile_files import made_ground


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """A root, and outside of it what must not be touched."""
    with made_ground() as ground:
        yield Workshop(ground)
        assert ground.is_untouched()

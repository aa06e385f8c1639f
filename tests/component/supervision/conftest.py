"""A place for processes that leaves none of them running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.supervision.harness import Keeper


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    """Lives of an agent in one folder; whatever they keep at the end is ended."""
    keeper = Keeper(tmp_path / "place")
    yield keeper
    await keeper.clear()

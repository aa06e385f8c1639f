"""Servers that are followed, and none of which is left running."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from component.gameplay.harness import Followed
from component.supervision.harness import Keeper


@pytest.fixture
async def follow(tmp_path: Path) -> AsyncIterator[Callable[..., Followed]]:
    """Make a server by its words; it ends with the test."""
    keeper, made = Keeper(tmp_path / "place"), []

    def make(*words: str, **options: object) -> Followed:
        made.append(Followed(tmp_path, keeper, words, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        await one.end()
    await keeper.clear()

"""One Knot DNS for all tests of a file, and a rig for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from component.dns.rigs import ZONE, open_rig
from guards.parts import why_missing
from real_parts.knot import Knot, running_knot


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot | None]:
    """Run a server, where there is one on this machine."""
    if why_missing("knot") is not None:
        yield None
        return
    with running_knot(tmp_path_factory.mktemp("knot"), ZONE) as running:
        yield running


@pytest.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Any, knot: Knot | None) -> AsyncIterator[Any]:
    """Lend the rig that the test names."""
    async with open_rig(request.param, tmp_path, knot) as made:
        yield made

"""Fixtures: a bench of real shims that leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.console.harness import Bench, eventually, open_descriptors
from guards.leaks import is_gone


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Shims of one test; whatever it leaves is ended, and descriptors and tasks of ours must be gone."""
    before = open_descriptors()
    bench = Bench(tmp_path)
    yield bench
    for service in bench.services:
        service.detach()
    left = bench.shims()
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    await eventually(lambda: all(map(is_gone, left)))
    # What was called off has a moment to end.
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert open_descriptors() <= before + 1

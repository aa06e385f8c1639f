"""One running platform for all tests of this folder, and one container for all tests of a file that need only one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from e2e.browser import browser, page
from e2e.stack import RECIPES, START_S, Stack
from guards import leaks
from real_parts.built_archives import archives_in_common

__all__ = ["browser", "page"]
HERE = Path(__file__).parent
BROWSERS = {"browser", "page", "seen"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name what every test here needs, give the first one the time of a first start, and have browsers closed first."""
    for item in items:
        if item.path.is_relative_to(HERE):
            assert isinstance(item, pytest.Function)
            # What is made last is ended first: a page that is open begins its terminal anew while that is being ended.
            item.fixturenames.sort(key=BROWSERS.__contains__)
            item.add_marker(pytest.mark.real("traefik", "package-index"))
            item.add_marker(pytest.mark.timeout(max(START_S + 120, _own_limit(item))))


def _own_limit(item: pytest.Item) -> float:
    """Return the limit that a test or its file names: a mark that is put at the test itself would go before it."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None else 0


@pytest.fixture(scope="session")
def _home() -> Iterator[Path]:
    """Give a folder below which everything of the platform lies, the output included."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    leaks.long_lived.add(str(folder))
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def running_stack(_home: Path) -> Iterator[Stack]:
    """Start the platform, and stop it after the last test; nothing of it is left then."""
    stack = Stack(_home)
    try:
        with archives_in_common(stack.home / "artifacts", RECIPES.split()):
            asyncio.run(stack.start())
    except BaseException:
        # A second try finds the place empty.
        asyncio.run(stack.stop())
        raise
    yield stack
    assert asyncio.run(stack.stop()) == 0
    assert stack.processes() == []


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The running platform."""
    return running_stack


@pytest.fixture(scope="module")
def ready_container(running_stack: Stack) -> Iterator[int]:
    """Make a container that is ready, once for all tests of a file."""
    vmid = asyncio.run(running_stack.create_ready())
    yield vmid
    asyncio.run(running_stack.delete(vmid))


@pytest.fixture
async def vmid(stack: Stack, ready_container: int) -> AsyncIterator[int]:
    """A ready container without terminals and processes; others have used it before, as its history tells."""
    yield ready_container
    await stack.clear(ready_container)


@pytest.fixture
async def own_vmid(stack: Stack) -> AsyncIterator[int]:
    """A ready container of this test's own; nothing of it is left afterwards."""
    made = await stack.create_ready()
    yield made
    await stack.delete(made)

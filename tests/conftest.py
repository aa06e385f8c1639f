"""Always on for every test: the guards, the real parts, and the fixtures that more than one folder uses.

guards     no connection beyond this machine · no blocking call in the event loop · nothing outlives its test
hangs      a test that takes too long fails alone, and tells what it was at
parts      @pytest.mark.real("root") …: skipped with a reason where the part is missing, failed in CI
tries      what uses real parts may fail once, and is named at the end
clock      a clock that moves by hand
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from fakes.clock import FakeClock
from guards import leaks, memory, network, parts, remains, second_tries
from guards.hangs import Alarms
from guards.workers import Crew

network.arm()
# How long an example takes by the clock says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
# The default draws exceptions with their surroundings, from files read in the event loop.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
TEMP = leaks.own_temp_folder()
leaks.adopt_orphans()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what pyproject.toml says about tests that hang."""
    parser.addini("hang_grace_s", "how long a test that took too long may clean up before its process ends")
    parser.addini("run_limit_s", "after how long a run of several workers ends, whatever it is at")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the time of this process's tests, or of the workers that it hands them to."""
    grace_s = float(config.getini("hang_grace_s"))
    word = getattr(config, "workerinput", {}).get("word")
    config.pluginmanager.register(Alarms(grace_s, Path(word) if word else None))
    config.pluginmanager.register(second_tries.SecondTries())
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(Crew(TEMP, float(config.getini("run_limit_s")), grace_s))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give some of the tests a second try."""
    second_tries.mark(items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, what needs a part that is not here."""
    for mark in item.iter_markers("real"):
        for part in mark.args:
            reason = parts.why_missing(part)
            if reason is None:
                continue
            if parts.must_run_everything():
                pytest.fail(f"{reason}, and nothing may be skipped here")
            pytest.skip(reason)


def pytest_unconfigure() -> None:
    """Remove the run's temporary files."""
    remains.remove(memory.folder_of(TEMP))
    remains.remove(TEMP)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be skipped, a skip anywhere is a failure of the whole run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if parts.must_run_everything() and reporter is not None and (skipped := reporter.stats.get("skipped")):
        names = ", ".join(report.nodeid for report in skipped)
        reporter.write_line(f"skipped where nothing may be: {names}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a folder for the test alone; in memory for some, which gain much by it."""
    folder = memory.make_folder(TEMP, request.node.nodeid)
    yield folder or tmp_path
    if folder is not None:
        remains.remove(folder)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that moves by hand."""
    return FakeClock()


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    """Fail a test that leaves a process, a descriptor or a folder behind."""
    before = leaks.take()
    yield
    if left := leaks.find_leaks(before):
        leaks.end_processes(before)
        pytest.fail("left behind: " + "; ".join(left))


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task behind."""
    yield
    if left := leaks.find_tasks():
        pytest.fail("tasks left behind: " + "; ".join(left))


@functools.cache
def _block_guard() -> BlockBuster:
    """Return the guard of this process: to look up all that may block costs as much as a small test."""
    guard = BlockBuster(scanned_modules=["zlh_agent", "zlh_api", "zlh_common"])
    # asyncpg looks for a password file and a certificate when it makes its first connection.
    guard.functions["os.stat"].can_block_in(
        "asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args", "_read_password_file"}
    )
    # A traceback in the log quotes the lines that it names.
    for function in guard.functions.values():
        function.can_block_in("linecache.py", {"updatecache"})
    return guard


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Fail a test in which code of ours blocks the event loop."""
    guard = _block_guard()
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()

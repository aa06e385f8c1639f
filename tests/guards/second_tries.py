"""Which tests get a second try, what the first leaves to it, and who is told that one was needed (ADR 24).

What is tested on real parts of others waits for programs that nobody here has written, on a machine that is busy. Such
a test may fail once and is then named at the end of the run, with what it failed with. What our own code alone decides
gets one try: there a failure by chance is a fault that chance has found.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterable

import pytest

ONCE = ("tests/unit/", "tests/architecture/", "tests/faults/")
TWICE = ("tests/component/", "tests/e2e/", "tests/lxc/")
RERUN = "rerun"


def may_try_again(nodeid: str, *, uses_real_parts: bool) -> bool:
    """Tell whether a test that has failed is run once more."""
    return not nodeid.startswith(ONCE) and (uses_real_parts or nodeid.startswith(TWICE))


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark those that get a second try."""
    for item in items:
        if may_try_again(item.nodeid, uses_real_parts=item.get_closest_marker("real") is not None):
            item.add_marker(pytest.mark.flaky(reruns=1))


def is_second_try(item: pytest.Item) -> bool:
    """Tell whether a test has failed before, and is run once more now."""
    return getattr(item, "execution_count", 1) > 1


class SecondTries:
    """Begins a second try on clean ground, and tells at the end which tests needed one."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let go of what the first try held, so that the end of none of it is blamed on the second."""
        if is_second_try(item):
            forget_failure()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Name them after everything else that is said of the run."""
        try:
            return (yield)
        finally:
            tell(terminalreporter)


def forget_failure() -> None:
    """Drop the frames of the last failure, with all that they hold; what complains on its way out is not heard."""
    sys.last_type = sys.last_value = sys.last_traceback = None
    # Newer versions of Python keep it a second time.
    vars(sys).pop("last_exc", None)
    heard, sys.unraisablehook = sys.unraisablehook, lambda _what: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = heard


def tell(reporter: pytest.TerminalReporter) -> None:
    """Write what each first try failed with, and the names of those that passed then."""
    first_tries: list[pytest.TestReport] = reporter.stats.get(RERUN, [])
    if not first_tries:
        return
    reporter.write_sep("=", "FIRST TRIES THAT FAILED", red=True, bold=True)
    for report in first_tries:
        reporter.write_sep("_", f"{report.when} of {report.nodeid}", red=True)
        reporter.write_line(report.longreprtext)
        for title, text in report.sections:
            reporter.write_sep("-", title)
            reporter.write_line(text)
    failed = {report.nodeid for outcome in ("failed", "error") for report in reporter.stats.get(outcome, ())}
    for nodeid in dict.fromkeys(report.nodeid for report in first_tries):
        if nodeid not in failed:
            reporter.write_line(f"unsteady: {nodeid} failed and then passed; it must be mended", red=True, bold=True)

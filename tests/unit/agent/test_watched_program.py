"""A program of somebody else's, run to its end, heard, and ended with all that it has started."""

from __future__ import annotations

import sys

from fakes.forked import in_child
from zlh_agent.runtimes.watched_program import TAIL_BYTES, run_watched


def check(code: str, *, timeout_s: float, expected: int | None, last: str) -> None:
    """Run a program of Python in a child of its own, and compare how it ended and its last words."""

    def run() -> None:
        told: list[str] = []
        found, output = run_watched(
            [sys.executable, "-c", code],
            environment={},
            timeout_s=timeout_s,
            before_exec=lambda: None,
            on_output=told.append,
        )
        assert found == expected, (found, output)
        assert output.endswith(last), output
        assert len(output) <= TAIL_BYTES
        assert not told or len(told[-1]) <= TAIL_BYTES

    in_child(run)


def test_a_program_that_prints_without_end_has_an_end() -> None:
    """There is always something to be read, and still its time is over once it is over."""
    check("while True: print('y' * 4000, flush=True)", timeout_s=0.5, expected=None, last="")


def test_a_program_that_ends_in_time_is_heard_to_its_end() -> None:
    """With its exit code, and the end of what it has printed."""
    check("print('x' * 100_000); print('last'); raise SystemExit(3)", timeout_s=60, expected=3, last="last\n")


def test_what_a_program_has_left_holds_nobody_up() -> None:
    """It has the pipe open, and prints into it; it ends with the program."""
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'while True: print(1)'], start_new_session=True)\n"
        "raise SystemExit(0)"
    )
    check(code, timeout_s=60, expected=0, last="")

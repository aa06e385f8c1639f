"""How the tests are shared out among workers."""

from __future__ import annotations

from pathlib import Path

from guards.shares import APART, FIRST, TOGETHER, rank_of, share_of

ROOT = Path(__file__).parents[3]


def test_a_file_is_a_share() -> None:
    """Its tests have fixtures in common."""
    assert share_of("tests/unit/a/test_b.py::test_c[x::y]") == "tests/unit/a/test_b.py"


def test_what_a_machine_has_once_is_one_share() -> None:
    """Whatever file asks for it; what stands in a line of its own is not taken by a wider one."""
    assert share_of("tests/lxc/test_egress.py::a") == share_of("tests/lxc/test_past_the_bridge.py::b")
    assert share_of("tests/e2e/test_console.py::a") == share_of("tests/e2e/test_whole_path.py::b")
    assert share_of("tests/e2e/test_stack_faults.py::a") != share_of("tests/e2e/test_console.py::a")
    assert share_of("tests/e2e/test_accessible.py::a") == share_of("tests/e2e/test_portal.py::b")
    assert share_of("tests/e2e/test_portal.py::a") != share_of("tests/e2e/test_console.py::a")


def test_long_tests_go_apart_and_first() -> None:
    """Each to whoever is free."""
    long = f"{APART[0]}::test_a"
    assert share_of(long) == long
    assert rank_of(long) < rank_of("tests/unit/a/test_b.py")
    assert sorted(map(rank_of, FIRST)) == list(range(len(FIRST)))


def test_every_line_names_something_that_is_there() -> None:
    """A file that was renamed would be shared out as any other."""
    assert [path for path in (*APART, *TOGETHER, *FIRST) if not (ROOT / path).exists()] == []

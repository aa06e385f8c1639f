"""Whose window a terminal has."""

from __future__ import annotations

from zlh_common.terminal_window import TerminalWindow

SMALL, LARGE = (80, 24), (200, 60)


def test_the_first_who_tells_a_size_has_the_window_until_another_types() -> None:
    """Others see it in that size; whoever types takes it over with the size of his own."""
    window: TerminalWindow[str] = TerminalWindow()
    assert window.resize("a", SMALL, may_write=True) == SMALL
    assert window.resize("b", LARGE, may_write=True) is None
    assert window.type("a", SMALL) is None
    assert window.type("b", LARGE) == LARGE
    assert window.resize("a", SMALL, may_write=True) is None
    assert window.size == LARGE


def test_one_that_only_looks_never_sets_the_size() -> None:
    """Not even alone."""
    window: TerminalWindow[str] = TerminalWindow(SMALL)
    assert window.resize("viewer", LARGE, may_write=False) is None
    assert window.size == SMALL


def test_a_window_is_free_once_its_owner_has_left() -> None:
    """It keeps its size until somebody else says another; one without a size of its own changes nothing by typing."""
    window: TerminalWindow[str] = TerminalWindow()
    window.resize("a", SMALL, may_write=True)
    window.leave("b")
    assert window.resize("b", LARGE, may_write=True) is None
    window.leave("a")
    assert window.type("c", None) is None
    window.leave("c")
    assert window.size == SMALL
    assert window.resize("b", LARGE, may_write=True) == LARGE

"""Where the output of runs begins."""

from __future__ import annotations

from zlh_agent.supervision.runs import KEPT, Runs, note_run


def test_runs_are_known_by_where_they_begin() -> None:
    """Also once they are over."""
    runs = note_run(Runs(), 0, goes_on=True)
    assert runs.present == 0
    runs = note_run(runs, 0, goes_on=False)
    assert runs == Runs((0,), goes_on=False)
    assert runs.present is None
    runs = note_run(runs, 9, goes_on=True)
    assert (runs.starts, runs.present) == ((0, 9), 9)


def test_nothing_has_begun_yet() -> None:
    """A program that keeps no run has none that goes on."""
    assert note_run(Runs(), None, goes_on=False) == Runs()


def test_another_history_begins_with_its_first_run() -> None:
    """The offsets of the one before mean nothing in it."""
    assert note_run(Runs((0, 9)), 0, goes_on=True) == Runs((0,), goes_on=True)


def test_only_the_newest_are_kept() -> None:
    """One that starts over and over costs no memory."""
    runs = Runs()
    for start in range(10 * KEPT):
        runs = note_run(runs, start, goes_on=True)
    assert runs.starts == tuple(range(9 * KEPT, 10 * KEPT))

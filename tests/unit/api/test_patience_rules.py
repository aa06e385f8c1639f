"""How long is waited for the bytes of a file."""

from __future__ import annotations

from zlh_api.agents.patience_rules import LEAST_BYTES, SILENCE_S, WINDOW_S, Patience


def test_what_moves_enough_is_waited_for_without_end() -> None:
    """Each time that enough has moved, waiting begins anew, however long it was until then."""
    patience = Patience()
    for _ in range(100):
        patience = patience.after(WINDOW_S - 1, LEAST_BYTES - 1)
        assert not patience.is_spent
        patience = patience.after(WINDOW_S, 1)
        assert patience == Patience()


def test_too_little_in_the_whole_window_is_too_slow() -> None:
    """Less than the least while the window is spent on waiting ends it, and how much had moved is known."""
    patience = Patience()
    for _ in range(59):
        patience = patience.after(WINDOW_S / 60, 1000)
        assert not patience.is_spent
    patience = patience.after(WINDOW_S / 60, 1000)
    assert patience.is_spent
    assert patience.moved_bytes == 60_000


def test_one_pause_is_not_slowness() -> None:
    """A pause that is shorter than the limit of silence ends nothing by itself, whatever had moved before it."""
    assert not Patience().after(0.0, 1000).after(SILENCE_S - 0.001, 1).is_spent

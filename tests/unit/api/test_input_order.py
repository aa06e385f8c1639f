"""Whose input an agent has taken, where several people type through one connection."""

from __future__ import annotations

import random

import pytest

from zlh_api.console.input_order import MAX_TURNS, InputOrder
from zlh_api.console.rules import is_next_done
from zlh_common.schema.console_wire import InputDone


def done(taken: int, refused: int) -> InputDone:
    return InputDone(taken=taken, refused=refused)


def test_each_is_told_of_his_own_in_the_order_in_which_it_was_sent() -> None:
    """A word of the agent may end in the middle of somebody's input, and be about several people's."""
    order: InputOrder[str] = InputOrder()
    for viewer, size in [("a", 3), ("b", 2), ("b", 2), ("a", 5), ("c", 0)]:
        order.note_sent(viewer, size)
    assert order.settle(done(4, 0)) == [("a", done(3, 0)), ("b", done(1, 0))]
    assert order.settle(done(4, 4)) == [("b", done(0, 3)), ("a", done(0, 1))]
    assert order.settle(done(4, 4)) == []
    assert not order.is_empty
    assert order.settle(done(8, 4)) == [("a", done(4, 0))]
    assert order.is_empty


def test_however_it_is_told_everybody_ends_with_what_was_his() -> None:
    """The sums are those of what was sent, byte by byte."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    order: InputOrder[int] = InputOrder()
    owners, sums, said = [], {(viewer, kind): 0 for viewer in range(3) for kind in (0, 1)}, [0, 0]
    fates: list[int] = []
    for _ in range(300):
        viewer, size = chance.randrange(3), chance.randrange(1, 9)
        order.note_sent(viewer, size)
        owners += [viewer] * size
    while len(fates) < len(owners):
        kind, size = chance.randrange(2), chance.randrange(1, 12)
        size = min(size, len(owners) - len(fates))
        fates += [kind] * size
        said[kind] += size
        for viewer, part in order.settle(done(*said)):
            sums[viewer, 0] += part.taken
            sums[viewer, 1] += part.refused
    wanted = {key: list(zip(owners, fates, strict=True)).count(key) for key in sums}
    assert sums == wanted, seed
    assert order.is_empty


def test_turns_are_bounded_and_one_who_types_alone_has_one() -> None:
    """An agent that confirms nothing fills no memory."""
    order: InputOrder[int] = InputOrder()
    for _ in range(2 * MAX_TURNS):
        order.note_sent(0, 1)
    assert not order.is_full
    for number in range(1, MAX_TURNS):
        order.note_sent(number % 2, 1)
    assert order.is_full
    order.settle(done(2 * MAX_TURNS, 0))
    assert not order.is_full


@pytest.mark.parametrize(
    ("said", "is_right"),
    [
        ((3, 1), True),
        ((5, 1), True),
        ((3, 4), True),
        ((8, 1), False),
        ((2, 1), False),
        ((4, 2), False),
        ((3, 8), False),
    ],
)
def test_only_one_number_grows_and_never_beyond_what_was_sent(said: tuple[int, int], is_right: bool) -> None:
    """Else nobody could tell whose input it is about."""
    assert is_next_done(done(3, 1), done(*said), sent=8) is is_right

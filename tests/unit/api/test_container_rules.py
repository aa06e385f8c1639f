"""How much a container gets of what is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.api_world import LIMITS
from unit.api.test_status import NEW, RUNNING
from zlh_api.containers.model import Container, Guest
from zlh_api.containers.rules import (
    DiskCannotShrink,
    ResourcesEmpty,
    ResourcesTooLarge,
    decide_first_resources,
    decide_resources,
    find_in_force,
    find_least_disk,
    spell,
)
from zlh_common.errors import InvalidBody
from zlh_common.schema.resources import Resources, ResourceWish
from zlh_common.schema.status import Step, StepState
from zlh_common.schema.structs import decode, encode

MOST = LIMITS.maximum
GROWN = replace(RUNNING, resources=Resources(disk_mib=20_480))


def resize(state: StepState) -> tuple[Step, ...]:
    """Return the steps of a container whose resize is in this state."""
    return (Step(name="create-guest", state=StepState.DONE), Step(name="resize-guest", state=state))


def test_who_asks_for_nothing_gets_the_default() -> None:
    """And who names one figure gets the default of the others."""
    assert decide_first_resources(None, LIMITS) == LIMITS.default
    assert decide_first_resources(ResourceWish(cpu=0.5), LIMITS) == Resources(cpu=0.5)


@pytest.mark.parametrize(("asked", "given"), [(1.004, 1.0), (0.1049, 0.1), (2.5, 2.5), (4.004, 4.0)])
def test_cores_come_in_hundredths(asked: float, given: float) -> None:
    """The finest that every driver can set."""
    assert decide_first_resources(ResourceWish(cpu=asked), LIMITS).cpu == given


@pytest.mark.parametrize("name", Resources.__struct_fields__)
def test_too_much_is_refused_by_its_name_and_both_figures(name: str) -> None:
    """As much as is allowed is allowed."""
    most = getattr(MOST, name)
    assert getattr(decide_first_resources(ResourceWish(**{name: most}), LIMITS), name) == most
    with pytest.raises(ResourcesTooLarge) as caught:
        decide_first_resources(ResourceWish(**{name: most + 1}), LIMITS)
    (problem,) = caught.value.data["problems"]
    assert (problem["field"], problem["asked"], problem["allowed"]) == (f"resources.{spell(name)}", most + 1, most)
    assert str(most + 1) in caught.value.detail
    assert str(most) in caught.value.detail


def test_all_that_is_too_much_is_told_at_once() -> None:
    """Nobody wants to hear of the next one after the first."""
    with pytest.raises(ResourcesTooLarge) as caught:
        decide_first_resources(ResourceWish(cpu=100, pids=100_000), LIMITS)
    assert [problem["field"] for problem in caught.value.data["problems"]] == ["resources.cpu", "resources.pids"]


def test_a_wish_for_nothing_is_refused() -> None:
    """It says neither what it wants nor that it wants nothing."""
    with pytest.raises(ResourcesEmpty):
        decide_first_resources(ResourceWish(), LIMITS)
    with pytest.raises(ResourcesEmpty):
        decide_resources(ResourceWish(), RUNNING, LIMITS)


@pytest.mark.parametrize(
    "raw",
    [
        *(f'{{"cpu":{value}}}' for value in ("NaN", "Infinity", "1e308", "-1", "0", "9223372036854775808", '"2"')),
        *(f'{{"memoryMib":{value}}}' for value in ("0", "-1", "2048.5", "1e99", "9223372036854775808", '"2G"', "true")),
        '{"diskMib":[1]}',
        '{"pids":{}}',
        '{"memory":1024}',
        '{"memory_mib":1024}',
        "[]",
        "2",
    ],
)
def test_what_is_no_figure_never_gets_here(raw: str) -> None:
    """The shape refuses it."""
    with pytest.raises(InvalidBody):
        decode(raw, ResourceWish)


def test_what_a_container_has_it_may_keep() -> None:
    """A maximum that was lowered since refuses only what is more than that."""
    had = replace(RUNNING, resources=Resources(cpu=16), resources_in_force=Resources(cpu=16))
    assert decide_resources(ResourceWish(pids=4096), had, LIMITS) == Resources(cpu=16, pids=4096)
    with pytest.raises(ResourcesTooLarge, match="17"):
        decide_resources(ResourceWish(cpu=17), had, LIMITS)


@pytest.mark.parametrize(
    ("container", "least_mib"),
    [
        (RUNNING, 10_240),
        (replace(RUNNING, guest=Guest.STOPPED), 10_240),
        # Asked for, and not begun: the wish can be taken back.
        (replace(GROWN, steps=resize(StepState.DONE)), 10_240),
        # It may have happened by now.
        (replace(GROWN, steps=resize(StepState.RUNNING)), 20_480),
        # The host has refused it.
        (replace(GROWN, steps=resize(StepState.FAILED)), 10_240),
        # Nobody knows what it has.
        (replace(GROWN, resources_in_force=None), 20_480),
        # No guest could be made of this size, so another may be tried.
        (NEW, 0),
        (replace(NEW, guest=Guest.HALF_MADE), 0),
        (replace(NEW, steps=(Step(name="create-guest", state=StepState.FAILED),)), 0),
        (replace(NEW, steps=(Step(name="create-guest", state=StepState.RUNNING),)), 10_240),
    ],
)
def test_a_disk_gets_no_smaller_than_it_may_be(container: Container, least_mib: int) -> None:
    """In every position of the guest and of the step that sizes it."""
    assert find_least_disk(container) == least_mib
    if least_mib:
        with pytest.raises(DiskCannotShrink) as caught:
            decide_resources(ResourceWish(disk_mib=least_mib - 1), container, LIMITS)
        assert str(least_mib) in caught.value.detail
    assert decide_resources(ResourceWish(disk_mib=max(least_mib, 512)), container, LIMITS).disk_mib >= least_mib


LARGER = Resources(memory_mib=4096)


@pytest.mark.parametrize(
    ("in_force", "guest", "is_sized", "expected"),
    [
        (None, Guest.RUNNING, True, LARGER),
        (Resources(), Guest.STOPPED, True, LARGER),
        # The new ones are not there yet: the old ones hold.
        (Resources(), Guest.RUNNING, False, Resources()),
        # Somebody has changed them past us.
        (LARGER, Guest.RUNNING, False, None),
        (Resources(), Guest.ABSENT, True, None),
        (Resources(), Guest.HALF_MADE, True, None),
        (Resources(), Guest.FOREIGN, True, None),
    ],
)
def test_what_holds_is_what_was_seen(
    in_force: Resources | None, guest: Guest, *, is_sized: bool, expected: Resources | None
) -> None:
    """Of a guest that is ours and whole; else nothing is said to hold."""
    container = replace(RUNNING, resources=LARGER, resources_in_force=in_force)
    assert find_in_force(container, guest, is_sized=is_sized) == expected


FIGURES: dict[str, st.SearchStrategy[Any]] = {
    "cpu": st.none() | st.floats(0.1, 1024),
    "memory_mib": st.none() | st.integers(128, 2**24),
    "disk_mib": st.none() | st.integers(512, 2**30),
    "pids": st.none() | st.integers(64, 4_194_304),
}


@given(st.builds(ResourceWish, **FIGURES))
def test_whatever_is_asked_is_granted_within_bounds_or_refused(wish: ResourceWish) -> None:
    """What is granted can be written and read again, and is what was asked for."""
    try:
        granted = decide_resources(wish, RUNNING, LIMITS)
    except (ResourcesEmpty, ResourcesTooLarge, DiskCannotShrink):
        return
    assert decode(encode(granted), Resources) == granted
    for name in Resources.__struct_fields__:
        asked = getattr(wish, name)
        assert getattr(granted, name) <= getattr(MOST, name)
        wanted = getattr(Resources(), name) if asked is None else asked
        assert getattr(granted, name) == pytest.approx(wanted, abs=0.01)

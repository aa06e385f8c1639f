"""Which version an agent takes, what it tells of it, when one has proved itself, and which bundles may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.launcher import DONE, NONE, PROBATION, PROVING, UNDONE, UpdateState, is_bundle_name
from zlh_agent.update.model import Handover, HeldShim, Order, Seen, Stage
from zlh_agent.update.rules import (
    Verdict,
    choose_removals,
    decide_update,
    find_highest,
    find_lacking,
    find_previous,
    is_prepared,
    is_switching,
    make_order,
    parse_moment,
    tell_update,
)
from zlh_common.schema.agent_update import AgentUpdateState
from zlh_common.version_order import version_order

AT = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = Order(version="1.2.0", attempt=0, before="1.1.0", started_at=AT)
PHASES = (NONE, PROVING, PROBATION, DONE, UNDONE)
versions = st.builds("{}.{}.{}".format, *[st.integers(0, 12)] * 3)


def state_of(phase: str) -> UpdateState:
    """Return the launcher's state about ORDER."""
    return UpdateState(
        phase=phase, version="1.2.0", former="1.1.0", highest="1.1.0", started_at=AT.isoformat(),
        ended_at=AT.isoformat(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "attempt", "verdict"),
    [
        ("1.2.0", 0, Verdict.TAKE),
        # It is that already, which is told and done.
        ("1.1.0", 0, Verdict.TAKE),
        ("1.0.9", 0, Verdict.OLDER),
        ("1.1.0-rc1", 0, Verdict.OLDER),
    ],
)
def test_a_version_is_taken_unless_it_is_older(version: str, attempt: int, verdict: Verdict) -> None:
    """By the order that the publisher has too; a release is newer than what came before it."""
    assert decide_update(version, attempt, order=None, state=UpdateState(), running="1.1.0") is verdict


@pytest.mark.parametrize("phase", PHASES)
def test_the_same_told_again_is_the_same(phase: str) -> None:
    """Wherever it stands; and a word that comes late, of an attempt before, changes nothing either."""
    order = replace_order(attempt=1)
    state = replace(state_of(phase), attempt=1)
    for attempt in (0, 1):
        assert decide_update("1.2.0", attempt, order=order, state=state, running="1.1.0") is Verdict.SAME


@pytest.mark.parametrize(
    ("order", "phase", "verdict"),
    [
        # Being prepared; on trial; in probation.
        (ORDER, NONE, Verdict.BUSY),
        (ORDER, PROVING, Verdict.BUSY),
        (ORDER, PROBATION, Verdict.BUSY),
        # Come to its end, one way or the other.
        (ORDER, DONE, Verdict.TAKE),
        (ORDER, UNDONE, Verdict.TAKE),
        (
            Order(version="1.2.0", attempt=0, before="1.1.0", started_at=AT, finished_at=AT, code="x"),
            NONE,
            Verdict.TAKE,
        ),
    ],
)
def test_one_at_a_time(order: Order, phase: str, verdict: Verdict) -> None:
    """Another version, and another attempt at the same, wait for the end of the probation."""
    state = state_of(phase) if phase != NONE else UpdateState()
    for version, attempt in (("1.3.0", 0), ("1.2.0", 1)):
        assert decide_update(version, attempt, order=order, state=state, running="1.1.0") is verdict


@given(versions, versions, versions, st.sampled_from(PHASES), st.integers(0, 3))
def test_nothing_older_than_the_highest_is_ever_taken(
    asked: str, highest: str, running: str, phase: str, attempt: int
) -> None:
    """Whatever happened before: not even the version that runs here, where a newer one was accepted once."""
    state = UpdateState(phase=phase, version="9.9.9", former=running, highest=highest)
    verdict = decide_update(asked, attempt, order=None, state=state, running=running)
    if verdict is Verdict.TAKE:
        assert version_order(asked) >= max(version_order(highest), version_order(running))


def test_a_version_on_trial_is_not_the_highest_yet() -> None:
    """One that is undone may be brought again: nobody has accepted it."""
    assert find_highest(state_of(PROBATION), "1.2.0") == "1.1.0"
    assert find_highest(replace(state_of(DONE), highest="1.2.0"), "1.2.0") == "1.2.0"
    undone = decide_update("1.2.0", 1, order=ORDER, state=state_of(UNDONE), running="1.1.0")
    assert undone is Verdict.TAKE


@pytest.mark.parametrize(
    ("phase", "told"),
    [
        (NONE, AgentUpdateState.PREPARING),
        (PROVING, AgentUpdateState.PROVING),
        (PROBATION, AgentUpdateState.PROBATION),
        (DONE, AgentUpdateState.DONE),
        (UNDONE, AgentUpdateState.UNDONE),
    ],
)
def test_each_phase_is_told(phase: str, told: AgentUpdateState) -> None:
    """By its word, its end only once there is one, and its stage only while it is prepared."""
    state = replace(state_of(phase), code="exited", message="It ended.", exit_code=3, output="Traceback")
    update = tell_update(ORDER, state if phase != NONE else UpdateState(), Stage(0.5, "unpacking"))
    assert update is not None
    assert (update.state, update.version, update.before) == (told, "1.2.0", "1.1.0")
    assert (update.finished_at is not None) == (phase in {DONE, UNDONE})
    assert (update.progress, update.stage) == ((0.5, "unpacking") if phase == NONE else (None, None))
    reason = (update.code, update.message, update.exit_code, update.output)
    assert reason == (("exited", "It ended.", 3, "Traceback") if phase == UNDONE else (None,) * 4)


def test_a_newer_order_hides_the_state_of_the_one_before() -> None:
    """What has failed before anything was switched is told by the order alone; without either nothing is told."""
    failed = Order(
        version="1.3.0", attempt=0, before="1.2.0", started_at=AT, finished_at=AT, code="disk_full", message="Full."
    )
    update = tell_update(failed, state_of(DONE), None)
    assert update is not None
    assert (update.state, update.code) == (AgentUpdateState.FAILED, "disk_full")
    assert tell_update(None, UpdateState(), None) is None
    again = tell_update(Order(version="1.2.0", attempt=1, before="1.1.0", started_at=AT), state_of(UNDONE), None)
    assert again is not None
    assert again.state is AgentUpdateState.PREPARING


def test_a_state_without_its_order_is_gone_on_with() -> None:
    """The order was lost, or is one that another version wrote: the launcher's word holds."""
    assert make_order(state_of(PROVING)) == ORDER
    assert is_switching(state_of(PROVING))
    assert not is_prepared(make_order(state_of(PROVING)), state_of(PROVING))
    assert parse_moment("no moment") == parse_moment(None)
    assert parse_moment(AT.isoformat()) == AT


SHIMS = (HeldShim(10, 100), HeldShim(11, 110))
HANDOVER = Handover(version="1.2.0", attempt=0, boot_id="b", spec_generation=7, shims=SHIMS)


@pytest.mark.parametrize(
    ("seen", "alive", "words"),
    [
        (Seen(None, 7, frozenset(SHIMS)), SHIMS, None),
        # One more than before, a newer spec, and one that has ended: all of that may be.
        (Seen(None, 8, frozenset({*SHIMS, HeldShim(12, 120)})), SHIMS, None),
        (Seen(None, 7, frozenset(SHIMS[:1])), SHIMS[:1], None),
        (Seen("refused", 7, frozenset(SHIMS)), SHIMS, "refused"),
        (Seen(None, 6, frozenset(SHIMS)), SHIMS, "spec 6"),
        (Seen(None, 7, frozenset(SHIMS[:1])), SHIMS, "pid 11"),
        # The same pid is another shim where it began at another time.
        (Seen(None, 7, frozenset({SHIMS[0], HeldShim(11, 999)})), SHIMS, "pid 11"),
    ],
)
def test_what_a_version_on_trial_lacks(seen: Seen, alive: tuple[HeldShim, ...], words: str | None) -> None:
    """It serves, has the former one's spec and holds every shim that still runs; else the reason names it."""
    lacking = find_lacking(HANDOVER, seen, alive)
    assert (lacking is None) if words is None else (lacking is not None and words in lacking)


def test_without_a_handover_serving_is_all_that_can_be_asked() -> None:
    """It was lost: a version that serves is not undone for that."""
    assert find_lacking(None, Seen(None, 0, frozenset()), ()) is None
    assert find_lacking(None, Seen("refused", 0, frozenset()), ()) is not None


@given(st.sets(versions, min_size=1), st.data())
def test_what_runs_is_never_removed(present: set[str], data: st.DataObject) -> None:
    """Neither what runs, nor what is started next, nor what a shim runs from, nor the version before."""
    running = data.draw(st.sampled_from(sorted(present)))
    current = data.draw(st.sampled_from([None, *sorted(present)]))
    in_use = data.draw(st.sets(st.sampled_from(sorted(present))))
    removed = choose_removals(present, running=running, current=current, in_use=in_use)
    previous = find_previous(present, running)
    assert not {running, current, previous, *in_use} & set(removed)
    # All else goes, so no disk fills with versions.
    assert len(present - set(removed)) <= 3 + len(in_use)
    assert previous is None or version_order(previous) < version_order(running)


@pytest.mark.parametrize("name", ["current", "launcher.py", ".staging-1", ".former", "", "..", "1/2", "x1"])
def test_what_is_no_version_is_left_alone(name: str) -> None:
    """Whatever else lies beside the bundles is nobody's to remove."""
    assert not is_bundle_name(name)
    assert is_bundle_name("1.2.0-rc1")


def replace_order(*, attempt: int) -> Order:
    """Return ORDER of another attempt."""
    return Order(version="1.2.0", attempt=attempt, before="1.1.0", started_at=AT)

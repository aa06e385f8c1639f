"""Totals that never fall and shares over the right time, whatever the kernel stops counting."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.metrics.model import GroupReading, Key, Reading, Target, TreeReading
from zlh_agent.metrics.rules import WHOLE, Totals, add_up, forget_gone, has_fallen, render_metrics

WEB: Key = ("process", "web")
TARGET = Target("process", "web", 7, 6)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tree(cpu_s: float = 0.0, era: int = 0) -> TreeReading:
    return TreeReading(cpu_s, 100, None, 0, None, 1, 2, None, era)


def reading(
    at: float, cpu_s: float | None, *, own_s: float = 0.0, group_s: float | None = None, era: int = 0
) -> Reading:
    """Return a look at one process, or at none, beside the agent."""
    trees = {} if cpu_s is None else {WEB: tree(cpu_s, era)}
    return Reading(at, 1.0, trees, tree(own_s), GroupReading("cgroup2" if group_s is not None else None, group_s))


LOOKS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 10**6)), st.integers(0, 1)), min_size=1)


@given(LOOKS)
def test_a_total_never_falls(looks: list[tuple[int | None, int]]) -> None:
    """Whether a tree loses a process that nobody waited for, stops, or comes back under another shim."""
    totals, seen, whole = Totals(0.0), 0.0, 0.0
    for at, (cpu_s, era) in enumerate(looks):
        totals = add_up(totals, reading(float(at), cpu_s, era=era))
        value, of_all = totals.value(WEB, "cpu") or 0.0, totals.value(WHOLE, "cpu") or 0.0
        assert value >= seen
        assert of_all >= whole
        seen, whole = value, of_all


def test_what_the_kernel_counts_no_more_is_carried_on() -> None:
    """Seven of ten seconds that are gone are still told; what another shim has used comes on top."""
    totals = add_up(add_up(Totals(0.0), reading(0, 10)), reading(1, 3))
    assert totals.value(WEB, "cpu") == 10
    totals = add_up(totals, reading(2, 4))
    assert (totals.value(WEB, "cpu"), totals.value(WHOLE, "cpu")) == (11, 11)
    totals = add_up(totals, reading(3, 5, era=1))
    assert (totals.value(WEB, "cpu"), totals.value(WHOLE, "cpu")) == (16, 16)


def test_a_fall_is_noticed_and_a_rise_is_not() -> None:
    """So that it is looked at twice."""
    totals = add_up(Totals(0.0), reading(0, 10))
    assert has_fallen(totals, reading(1, 9))
    assert not has_fallen(totals, reading(1, 10))
    assert not has_fallen(totals, reading(1, 0, era=1))
    assert not has_fallen(Totals(0.0), reading(1, 0))


def test_shares_are_over_the_time_since_the_sample_before() -> None:
    """Null at the first one."""
    first = add_up(Totals(0.0), reading(10, 1, own_s=1))
    second = add_up(first, reading(14, 7, own_s=1))
    before = render_metrics(reading(10, 1, own_s=1), [TARGET], first, Totals(0.0), NOW)
    after = render_metrics(reading(14, 7, own_s=1), [TARGET], second, first, NOW)
    assert (before.processes[0].usage.cpu_cores, before.container.cpu_cores) == (None, None)
    assert (after.processes[0].usage.cpu_cores, after.container.cpu_cores) == (1.5, 1.5)
    assert (after.container.cpu_s, after.container.source, after.container.processes) == (8, "processes", 2)


def test_the_kernels_own_account_goes_before_the_sum() -> None:
    """Where the container has a control group."""
    look = reading(1, 5, group_s=42.0)
    metrics = render_metrics(look, [TARGET], add_up(Totals(0.0), look), Totals(0.0), NOW)
    assert (metrics.container.source, metrics.container.cpu_s) == ("cgroup2", 42.0)


def test_who_is_gone_is_forgotten_and_the_container_is_not() -> None:
    """A terminal that was closed leaves nothing in memory."""
    totals = add_up(Totals(0.0), reading(0, 10))
    assert forget_gone(totals, [WEB]) == totals
    left = forget_gone(totals, [])
    assert left.value(WEB, "cpu") is None
    assert left.value(WHOLE, "cpu") == 10

"""What follows from a spec and from what is in use: pure decisions."""

from __future__ import annotations

import pytest

from zlh_agent.spec.rules import NOTHING, Verdict, decide_spec, missing_runtimes, retry_delay_s, step_name
from zlh_common.schema.spec import AgentSpec, WantedRuntime


def spec(generation: int, *runtimes: tuple[str, str]) -> AgentSpec:
    """Return a spec."""
    wanted = tuple(WantedRuntime(name=name, version=version) for name, version in runtimes)
    return AgentSpec(generation=generation, runtimes=wanted)


@pytest.mark.parametrize(
    ("held", "sent", "verdict"),
    [
        (NOTHING, spec(1), Verdict.TAKE),
        (NOTHING, NOTHING, Verdict.KEEP),
        (spec(3), spec(4), Verdict.TAKE),
        (spec(3), spec(9), Verdict.TAKE),
        (spec(3), spec(2), Verdict.STALE),
        (spec(3, ("a", "1")), spec(2, ("a", "1")), Verdict.STALE),
        (spec(3, ("a", "1")), spec(3, ("a", "1")), Verdict.KEEP),
        (spec(3, ("a", "1")), spec(3, ("a", "2")), Verdict.TAKE),
        (NOTHING, spec(-1), Verdict.STALE),
    ],
)
def test_only_a_newer_or_an_equal_spec_is_held(held: AgentSpec, sent: AgentSpec, verdict: Verdict) -> None:
    """A lower generation is stale, the same document again changes nothing."""
    assert decide_spec(held, sent) is verdict


@pytest.mark.parametrize(
    ("wanted", "in_use", "missing"),
    [
        ([], set(), []),
        ([], {("a", "1")}, []),
        ([("a", "1")], set(), [("a", "1")]),
        ([("a", "1")], {("a", "1")}, []),
        ([("a", "2")], {("a", "1")}, [("a", "2")]),
        ([("b", "1"), ("a", "1")], {("c", "1")}, [("b", "1"), ("a", "1")]),
        ([("b", "1"), ("a", "1")], {("b", "1")}, [("a", "1")]),
    ],
)
def test_what_is_wanted_and_not_in_use_is_missing(
    wanted: list[tuple[str, str]], in_use: set[tuple[str, str]], missing: list[tuple[str, str]]
) -> None:
    """In the order of the spec; nothing is ever taken away."""
    found = missing_runtimes(spec(1, *wanted), in_use)
    assert [(runtime.name, runtime.version) for runtime in found] == missing


def test_retries_slow_down_to_a_minute() -> None:
    """Each wait is twice the last, and no count of failures breaks it."""
    assert [retry_delay_s(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retry_delay_s(0) == 1
    assert retry_delay_s(10**9) == 60


def test_a_step_is_named_after_its_runtime() -> None:
    """A script can find the step by what it has asked for."""
    assert step_name(WantedRuntime(name="node", version="24.19.0")) == "install-node"


def test_two_defaults_of_one_runtime_are_refused() -> None:
    """Only one can be the current one; the agent would take turns for ever."""
    with pytest.raises(ValueError, match="more than one default of a"):
        spec(1, ("a", "1"), ("b", "1"), ("a", "2"))

"""What follows from a spec and from what is in use: pure decisions."""

from __future__ import annotations

import pytest

from zlh_agent.runtimes.plan import Blocked, Install, Remove
from zlh_agent.spec.rules import (
    NOTHING,
    Verdict,
    decide_spec,
    retry_delay_s,
    step_key,
    tell_users,
)
from zlh_common.schema.runtime import RuntimeUser
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.step_names import name_install, name_removal


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


def test_retries_slow_down_to_a_minute() -> None:
    """Each wait is twice the last, and no count of failures breaks it."""
    assert [retry_delay_s(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retry_delay_s(0) == 1
    assert retry_delay_s(10**9) == 60


def test_steps_are_named_after_what_they_bring() -> None:
    """A script can find the step by what it has asked for; that of a default stays when its version changes."""
    assert name_install(WantedRuntime(name="node", version="24.19.0")) == "install-node"
    assert name_install(WantedRuntime(name="node", version="20.1.0", default=False)) == "install-node-20.1.0"
    assert name_removal("node", "20.1.0") == "remove-node-20.1.0"


def test_steps_of_one_name_are_two_things() -> None:
    """`node-24` may be a runtime, or a version of `node`: what tells them apart is not the name that is shown."""
    one = Install(WantedRuntime(name="node-24", version="1"))
    other = Install(WantedRuntime(name="node", version="24", default=False))
    assert name_install(one.runtime) == name_install(other.runtime)
    assert step_key(one) != step_key(other)
    assert step_key(Remove("node", "24")) == step_key(Blocked("node", "24")) != step_key(other)


def test_a_removal_that_waits_names_its_users() -> None:
    """The process or terminal where one owns them, five at most, and what a restart would bring."""
    users = [RuntimeUser(pid=7, name="node", owner="process web"), RuntimeUser(pid=8, name="sh")]
    text = tell_users(("node", "20"), users, "24")
    assert "process web (pid 7), sh (pid 8)," in text
    assert "A restart brings node 24" in text
    assert "restart" not in tell_users(("node", "20"), users, None)
    assert "and 4 more" in tell_users(("node", "20"), [users[1]] * 9, None)


def test_two_defaults_of_one_runtime_are_refused() -> None:
    """Only one can be the current one; the agent would take turns for ever."""
    with pytest.raises(ValueError, match="more than one default of a"):
        spec(1, ("a", "1"), ("b", "1"), ("a", "2"))

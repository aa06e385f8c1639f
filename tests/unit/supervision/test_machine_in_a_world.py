"""The machine in a model of its world: a shim with a child, an agent that dies in between, people who press buttons.

The model knows what really runs; the machine hears of it late, and after a restart of the agent only what the shim
or its records say. It takes the machine's orders and nothing else from it.
"""

from __future__ import annotations

from collections import deque
from itertools import count

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zlh_agent.supervision.machine import is_sound, public_state, should_probe, step, stop_time_s, wake_at
from zlh_agent.supervision.model import (
    Blocked,
    Child,
    Clear,
    Cleared,
    Effect,
    Event,
    Exit,
    Exited,
    FoundDown,
    GiveUpAsked,
    Kill,
    KillAsked,
    Launch,
    Launched,
    LaunchFailed,
    Phase,
    ProbeAnswered,
    ProbeFailed,
    RestartAsked,
    RetryAsked,
    State,
    Stop,
    SwitchedOff,
    SwitchedOn,
    TimePassed,
)
from zlh_common.schema.process import (
    HangPolicy,
    ProcessPolicy,
    ProcessReason,
    ReadyPolicy,
    RestartPolicy,
    StopPolicy,
    TcpProbe,
)

REASON = ProcessReason(code="port_busy", message="Port 1 is held.")
POLICIES = [
    ProcessPolicy(),
    ProcessPolicy(restart=RestartPolicy(when="always", delays_s=(0, 5)), stop=StopPolicy(command="stop")),
    ProcessPolicy(restart=RestartPolicy(when="never")),
    ProcessPolicy(
        ready=ReadyPolicy(probe=TcpProbe(port=1), grace_s=60, on_slow="restart"),
        hang=HangPolicy(after_s=30, action="restart"),
    ),
]
exits = st.sampled_from(
    [Exit(code=0), Exit(code=1), Exit(signal="SIGKILL"), Exit(signal="SIGKILL", out_of_memory=True)]
)


class SupervisedWorld(RuleBasedStateMachine):
    """One process, from the first start of its agent on."""

    def __init__(self) -> None:
        super().__init__()
        self.pids = count(100)
        self.now = 1000.0
        # What the spec says.
        self.is_wanted = False
        self.attempt = 0
        # What really is.
        self.child: Child | None = None
        self.began = 0.0
        self.has_leftovers = False
        self.is_ending = False
        self.last_exit: Exit | None = None
        # What the agent knows and does.
        self.policy = POLICIES[0]
        self.state = State()
        self.work: str | None = None
        self.said: deque[Event] = deque()

    @initialize(policy=st.sampled_from(POLICIES), is_wanted=st.booleans())
    def begin(self, policy: ProcessPolicy, is_wanted: bool) -> None:
        self.policy = policy
        self.is_wanted = is_wanted
        self.agent_restarts(keeps_state=False, was_heard=True)

    # The driver

    def take(self, event: Event) -> None:
        before = self.state
        self.state, effects = step(before, event, policy=self.policy, now=self.now)
        assert is_sound(self.state)
        # What is kept for the next agent is all of it.
        assert msgspec.json.decode(msgspec.json.encode(self.state), type=State) == self.state
        if isinstance(event, KillAsked) and before.child is not None:
            assert Kill() in effects
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Clear():
                self.work = "clear"
            case Launch():
                assert self.is_wanted, "what is not wanted was launched"
                assert self.child is None, "launched beside a child that runs"
                assert not self.has_leftovers, "launched beside what the last run has left"
                self.work = "launch"
            case Stop() | Kill():
                self.is_ending = True

    # The world

    @precondition(lambda self: self.work == "clear")
    @rule(is_free=st.booleans())
    def clearing_is_over(self, is_free: bool) -> None:
        self.work = None
        self.has_leftovers = False
        self.take(Cleared("x") if is_free else Blocked(REASON))

    @precondition(lambda self: self.work == "launch")
    @rule(starts=st.booleans())
    def launching_is_over(self, starts: bool) -> None:
        self.work = None
        if not starts:
            self.said.append(LaunchFailed(REASON))
            return
        self.spawn()
        assert self.child is not None
        self.said.append(Launched(self.child, self.began))

    def spawn(self) -> None:
        pid = next(self.pids)
        self.child, self.began, self.is_ending = Child(pid, pid * 10, "boot"), self.now, False
        # The record of a former end goes with the start.
        self.last_exit = None

    @precondition(lambda self: self.child is not None)
    @rule(exit_=exits, leaves_some=st.booleans())
    def child_ends(self, exit_: Exit, leaves_some: bool) -> None:
        self.child, self.is_ending = None, False
        self.has_leftovers = leaves_some
        self.last_exit = exit_
        self.said.append(Exited(exit_))

    @precondition(lambda self: self.child is not None)
    @rule()
    def shim_dies(self) -> None:
        """Nobody holds the child any more, so it does not stay; how it ended nobody sees."""
        self.child, self.is_ending = None, False
        self.has_leftovers = True
        self.said.append(Exited(Exit()))

    @precondition(lambda self: self.said)
    @rule()
    def agent_hears(self) -> None:
        self.take(self.said.popleft())

    @precondition(lambda self: not self.said and should_probe(self.state, self.policy))
    @rule(answers=st.booleans())
    def probe_is_over(self, answers: bool) -> None:
        self.take(ProbeAnswered() if answers else ProbeFailed("refused"))

    @rule(seconds=st.sampled_from([0.1, 1, 10, 29, 31, 120, 400]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = wake_at(self.state)
        if due is not None and self.now >= due:
            self.take(TimePassed())

    @rule(keeps_state=st.booleans(), was_heard=st.booleans())
    def agent_restarts(self, keeps_state: bool, was_heard: bool) -> None:
        """What it had not heard and what it was waiting for is gone; the shim heard its last order, or it never did."""
        if self.work == "launch" and was_heard:
            self.spawn()
        self.is_ending = self.is_ending and was_heard
        self.work = None
        self.said.clear()
        if not keeps_state:
            phase = Phase.CLEARING if self.is_wanted else Phase.STOPPED
            self.state = State(phase=phase, is_wanted=self.is_wanted, attempt=self.attempt)
        if self.child is not None:
            self.take(Launched(self.child, self.began))
        elif self.state.child is not None and self.last_exit is not None:
            self.take(Exited(self.last_exit))
        else:
            self.take(FoundDown())
        self.take(SwitchedOn(self.attempt) if self.is_wanted else SwitchedOff())

    # People

    @rule(anew=st.booleans())
    def switch_on(self, anew: bool) -> None:
        self.attempt += anew
        self.is_wanted = True
        self.take(SwitchedOn(self.attempt))

    @rule()
    def switch_off(self) -> None:
        self.is_wanted = False
        self.take(SwitchedOff())
        assert self.state.phase in {Phase.STOPPED, Phase.STOPPING, Phase.LAUNCHING}

    @precondition(lambda self: self.state.child is not None)
    @rule(times=st.integers(1, 3))
    def press_kill(self, times: int) -> None:
        for _ in range(times):
            self.is_ending = False
            self.take(KillAsked())
            assert self.is_ending

    @rule(event=st.sampled_from([RestartAsked(), KillAsked(), RetryAsked(), GiveUpAsked()]))
    def press(self, event: Event) -> None:
        self.take(event)

    # The promises

    @invariant()
    def whoever_waits_waits_for_something(self) -> None:
        match self.state.phase:
            case Phase.CLEARING:
                assert self.work == "clear"
            case Phase.LAUNCHING:
                assert self.work == "launch" or self.said
            case Phase.BACKOFF | Phase.STOPPING:
                assert wake_at(self.state) is not None
            case _:
                pass

    @invariant()
    def what_was_heard_is_what_is(self) -> None:
        if not self.said and self.work != "launch":
            assert self.state.child == self.child

    @invariant()
    def a_child_that_is_not_wanted_is_being_ended(self) -> None:
        if not self.said and self.child is not None and not self.is_wanted:
            assert self.state.phase is Phase.STOPPING
        if not self.said and self.state.phase is Phase.STOPPING:
            assert self.is_ending

    @invariant()
    def restarts_are_counted_within_the_policy(self) -> None:
        assert 0 <= self.state.restarts <= len(self.policy.restart.delays_s)
        assert not self.state.is_ready or self.state.phase is Phase.RUNNING
        assert self.state.is_wanted == self.is_wanted
        public_state(self.state.phase)

    def teardown(self) -> None:
        """After any history a healthy world obeys: off is down with nothing left, on is up and ready."""
        self.switch_off()
        self.settle()
        assert (self.state.phase, self.state.child, self.child) == (Phase.STOPPED, None, None)
        self.switch_on(anew=True)
        self.settle()
        assert (self.state.phase, self.state.is_ready) == (Phase.RUNNING, True)
        # A child that ignores everything ends by the kill at the latest.
        self.switch_off()
        self.is_ending = False
        self.now += stop_time_s(self.policy.stop) + 3
        self.take(TimePassed())
        assert self.is_ending

    def settle(self) -> None:
        for _ in range(50):
            if self.said:
                self.agent_hears()
            elif self.work == "clear":
                self.clearing_is_over(is_free=True)
            elif self.work == "launch":
                self.launching_is_over(starts=True)
            elif self.child is not None and self.is_ending:
                self.child_ends(exit_=Exit(signal="SIGTERM"), leaves_some=False)
            elif self.state.phase is Phase.STARTING:
                self.take(ProbeAnswered())
            else:
                return
        raise AssertionError(f"it never comes to rest: {self.state}")


TestSupervisedWorld = SupervisedWorld.TestCase
TestSupervisedWorld.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

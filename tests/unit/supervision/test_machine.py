"""The machine of supervision: every event in every phase, and long random lives, with no clock and no process."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from zlh_agent.supervision.machine import KILL_AGAIN_S, is_sound, public_state, should_probe, step, stop_time_s, wake_at
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

CHILD = Child(7, 70, "b")
REASON = ProcessReason(code="port_busy", message="Port 1 is held.")
PLAIN = ProcessPolicy()
PROBED = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=1), grace_s=60), hang=HangPolicy(after_s=30))
WITH_CHILD = {Phase.STARTING, Phase.RUNNING, Phase.STOPPING}


class Life:
    """One process under a machine; its clock moves by hand."""

    def __init__(self, policy: ProcessPolicy = PLAIN) -> None:
        self.policy = policy
        self.now = 1000.0
        self.state = State()
        self.effects: list[Effect] = []

    def take(self, *events: Event) -> Life:
        for event in events:
            self.state, self.effects = step(self.state, event, policy=self.policy, now=self.now)
        return self

    def wait(self, seconds: float) -> Life:
        self.now += seconds
        return self.take(TimePassed())

    def run(self) -> Life:
        """Switch it on and let it come up."""
        return self.take(SwitchedOn(0), Cleared(), Launched(CHILD, self.now))

    def crash(self, code: int = 1) -> Life:
        return self.take(Exited(Exit(code=code)))

    def come_back(self) -> Life:
        """Let the back-off pass and the child come up again."""
        assert self.state.due is not None
        self.now = self.state.due
        return self.take(TimePassed(), Cleared(), Launched(CHILD, self.now))


def test_a_start_clears_then_launches_then_runs() -> None:
    """Each step waits for the word that the one before is done."""
    life = Life()
    life.take(SwitchedOn(0))
    assert (life.state.phase, life.effects) == (Phase.CLEARING, [Clear()])
    life.take(Cleared())
    assert (life.state.phase, life.effects) == (Phase.LAUNCHING, [Launch()])
    life.take(Launched(CHILD, life.now))
    assert (life.state.phase, life.state.is_ready, life.effects) == (Phase.RUNNING, True, [])


def test_with_a_probe_it_is_ready_once_that_answers() -> None:
    """Until then it is starting, and asked."""
    life = Life(PROBED).run()
    assert (life.state.phase, life.state.is_ready) == (Phase.STARTING, False)
    assert should_probe(life.state, PROBED)
    life.take(ProbeFailed("refused"), ProbeAnswered())
    assert (life.state.phase, life.state.is_ready) == (Phase.RUNNING, True)


def test_crashes_wait_30_60_120_and_then_it_is_an_error() -> None:
    """Three restarts, each after a longer wait; the fourth end is the last."""
    life = Life().run()
    for delay_s in (30, 60, 120):
        life.crash()
        assert (life.state.phase, life.state.due) == (Phase.BACKOFF, life.now + delay_s)
        life.come_back()
    life.crash()
    assert life.state.phase is Phase.ERROR
    assert life.state.reason is not None
    assert "3 times" in life.state.reason.message


def test_a_stable_run_begins_with_the_first_wait_again() -> None:
    """Whether the stable time was noticed by the clock or only at the end."""
    for notices in (True, False):
        life = Life().run().crash().come_back()
        life.now += 300
        if notices:
            life.take(TimePassed())
            assert life.state.restarts == 0
        life.crash()
        assert life.state.due == life.now + 30


def test_an_end_that_was_asked_for_is_no_crash() -> None:
    """Not even with a code that is one."""
    life = Life().run().take(SwitchedOff())
    assert (life.state.phase, life.effects) == (Phase.STOPPING, [Stop()])
    life.take(Exited(Exit(code=143)))
    assert (life.state.phase, life.state.restarts, life.state.reason) == (Phase.STOPPED, 0, None)


@pytest.mark.parametrize(
    ("when", "code", "phase"),
    [
        ("failure", 0, Phase.STOPPED), ("failure", 1, Phase.BACKOFF), ("always", 0, Phase.BACKOFF),
        ("always", 1, Phase.BACKOFF), ("never", 0, Phase.STOPPED), ("never", 1, Phase.ERROR),
    ],
)  # fmt: skip
def test_what_an_end_means_is_the_policys_to_say(when: str, code: int, phase: Phase) -> None:
    """Code 0 is done, unless the process shall always run."""
    policy = ProcessPolicy(restart=msgspec.convert({"when": when}, RestartPolicy))
    assert Life(policy).run().crash(code).state.phase is phase


def test_how_it_ended_is_told_apart() -> None:
    """A code, a signal, and the kernel's own verdict."""
    ends = {
        Exit(code=3): ("crashed", "exited with code 3"), Exit(signal="SIGSEGV"): ("crashed", "ended by SIGSEGV"),
        Exit(signal="SIGKILL", out_of_memory=True): ("out_of_memory", "its memory was used up"),
        Exit(): ("crashed", "nobody saw"),
    }  # fmt: skip
    for end, (code, words) in ends.items():
        reason = Life().run().take(Exited(end)).state.reason
        assert reason is not None
        assert reason.code == code
        assert words in reason.message


def test_a_restart_that_was_asked_for_waits_for_the_end() -> None:
    """No second start while the first is dying, and no count for it."""
    life = Life().run().take(RestartAsked())
    assert life.effects == [Stop()]
    life.take(RestartAsked(), SwitchedOn(1), Launched(CHILD, life.now))
    assert life.state.phase is Phase.STOPPING
    life.take(Exited(Exit(code=0)))
    assert (life.state.phase, life.state.restarts, life.effects) == (Phase.CLEARING, 0, [Clear()])


def test_switched_off_while_it_is_being_launched_stops_what_comes() -> None:
    """And what does not come is stopped already."""
    life = Life().take(SwitchedOn(0), Cleared(), SwitchedOff(), Launched(CHILD, 1000.0))
    assert (life.state.phase, life.effects) == (Phase.STOPPING, [Stop()])
    life = Life().take(SwitchedOn(0), Cleared(), SwitchedOff(), LaunchFailed(REASON))
    assert life.state.phase is Phase.STOPPED


def test_a_kill_always_works_and_it_stays_down() -> None:
    """In the middle of a stop too; a start brings it back, the same spec does not."""
    life = Life().run().take(KillAsked())
    assert life.effects == [Kill()]
    phases = [life.take(event).state.phase for event in (Exited(Exit(signal="SIGKILL")), SwitchedOn(0), SwitchedOn(1))]
    assert phases == [Phase.STOPPED, Phase.STOPPED, Phase.CLEARING]
    life = Life().run().take(SwitchedOff(), KillAsked())
    assert life.effects == [Kill()]


def test_a_kill_asked_for_twice_at_once_is_no_harder_than_one() -> None:
    """What goes past the shim is for one that has had its time, and asking again does not put that off."""
    life = Life().run().take(KillAsked())
    due = wake_at(life.state)
    life.now += 1
    life.take(KillAsked(), KillAsked())
    assert (life.effects, life.state.kills, wake_at(life.state)) == ([Kill()], 1, due)


def test_a_stop_that_hangs_is_killed_at_the_deadline_again_and_again() -> None:
    """The deadline is visible; past it the kill is repeated until the kernel lets go."""
    policy = ProcessPolicy(stop=StopPolicy(command="stop", command_grace_s=20, grace_s=10))
    life = Life(policy).run().take(SwitchedOff())
    assert life.state.due == life.now + 30 == life.now + stop_time_s(policy.stop)
    for count in (1, 2, 3):
        due = wake_at(life.state)
        assert due is not None
        life.now = due
        life.take(TimePassed())
        assert (life.effects, life.state.kills) == ([Kill()], count)
    assert life.state.reason is not None
    assert life.state.reason.code == "stop_overdue"
    assert wake_at(life.state) == life.now + KILL_AGAIN_S


def test_retry_and_give_up() -> None:
    """A wait can be cut short in both ways; after an error the count begins anew."""
    life = Life().run().crash().take(RetryAsked())
    assert (life.state.phase, life.state.restarts) == (Phase.CLEARING, 1)
    life = Life().run().crash().take(GiveUpAsked())
    assert life.state.phase is Phase.ERROR
    life.take(RetryAsked())
    assert (life.state.phase, life.state.restarts) == (Phase.CLEARING, 0)


def test_what_hangs_is_told_and_restarted_where_the_policy_says_so() -> None:
    """A hang is noticed after the time without an answer; one answer makes it well again."""
    life = Life(PROBED).run().take(ProbeAnswered(), ProbeFailed("timeout"))
    assert life.state.is_ready
    life.now += 30
    life.take(ProbeFailed("timeout"))
    assert (life.state.phase, life.state.is_ready) == (Phase.RUNNING, False)
    assert life.take(ProbeAnswered()).state.is_ready
    policy = msgspec.structs.replace(PROBED, hang=HangPolicy(after_s=30, action="restart"))
    life = Life(policy).run().take(ProbeAnswered(), ProbeFailed("timeout"))
    life.now += 30
    life.take(ProbeFailed("timeout"))
    assert (life.state.phase, life.effects) == (Phase.STOPPING, [Stop()])
    life.take(Exited(Exit(code=0)))
    assert (life.state.phase, life.state.restarts) == (Phase.BACKOFF, 1)


def test_a_slow_start_is_told_or_tried_again() -> None:
    """As the policy says; reported, it may still become ready."""
    life = Life(PROBED).run().wait(60)
    assert life.state.reason is not None
    assert (life.state.phase, life.state.reason.code) == (Phase.STARTING, "start_slow")
    assert life.take(ProbeAnswered()).state.reason is None
    policy = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=1), grace_s=60, on_slow="restart"))
    life = Life(policy).run().wait(60).take(Exited(Exit(code=0)))
    assert life.state.phase is Phase.BACKOFF


def test_a_busy_port_counts_as_a_start_that_failed() -> None:
    """It is waited for like a crash, and named."""
    life = Life().take(SwitchedOn(0), Blocked(REASON))
    assert (life.state.phase, life.state.reason) == (Phase.BACKOFF, REASON)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_new_agent_finds_a_child_in_whatever_phase_it_remembers(phase: Phase) -> None:
    """What really runs counts: it is kept where it is wanted and stopped where it is not, and never started twice."""
    for is_wanted in (True, False):
        life = Life()
        life.state = _state(phase, is_wanted=is_wanted)
        life.take(Launched(CHILD, 900.0))
        assert life.state.child == CHILD
        assert not any(isinstance(effect, Launch | Clear) for effect in life.effects)
        if phase not in WITH_CHILD:
            assert life.state.phase is (Phase.RUNNING if is_wanted else Phase.STOPPING)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_new_agent_finds_no_child(phase: Phase) -> None:
    """A run that nobody saw the end of counts as a crash; a start that was cut short begins again."""
    life = Life()
    life.state = _state(phase, is_wanted=True)
    life.take(FoundDown())
    expected = {
        Phase.CLEARING: Phase.CLEARING, Phase.LAUNCHING: Phase.CLEARING, Phase.STARTING: Phase.BACKOFF,
        Phase.RUNNING: Phase.BACKOFF, Phase.STOPPING: Phase.STOPPED,
    }  # fmt: skip
    assert life.state.phase is expected.get(phase, phase)


def _state(phase: Phase, *, is_wanted: bool) -> State:
    child = CHILD if phase in WITH_CHILD else None
    due = 1010.0 if phase in {Phase.BACKOFF, Phase.STOPPING} else None
    return State(phase=phase, is_wanted=is_wanted, child=child, since=900.0, due=due)


def _events() -> Iterator[Event]:
    yield from (SwitchedOn(0), SwitchedOn(1), SwitchedOff(), RestartAsked(), KillAsked(), RetryAsked(), GiveUpAsked())
    yield from (Cleared(), Blocked(REASON), Launched(CHILD, 1000.0), LaunchFailed(REASON), Exited(Exit(code=0)))
    yield from (Exited(Exit(code=1)), FoundDown(), ProbeAnswered(), ProbeFailed("refused"), TimePassed())


@pytest.mark.parametrize("event", list(_events()), ids=str)
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("policy", [PLAIN, PROBED], ids=["plain", "probed"])
def test_every_event_in_every_phase_keeps_the_promises(phase: Phase, event: Event, policy: ProcessPolicy) -> None:
    """The table: whatever happens whenever, what the module says of itself holds."""
    for is_wanted in (True, False):
        before = _state(phase, is_wanted=is_wanted)
        after, effects = step(before, event, policy=policy, now=1020.0)
        check_promises(before, event, after, effects, policy)


def check_promises(before: State, event: Event, after: State, effects: list[Effect], policy: ProcessPolicy) -> None:
    """Hold one step against the invariants of the machine."""
    assert (after.child is not None) == (after.phase in WITH_CHILD)
    assert is_sound(after)
    assert after.restarts <= len(policy.restart.delays_s)
    if after.phase in {Phase.BACKOFF, Phase.STOPPING}:
        assert after.due is not None
    if any(isinstance(effect, Launch) for effect in effects):
        assert isinstance(event, Cleared)
        assert before.phase is Phase.CLEARING
        assert after.is_wanted
    if any(isinstance(effect, Clear) for effect in effects):
        assert after.phase is Phase.CLEARING
        assert after.is_wanted
    if isinstance(event, KillAsked) and before.child is not None:
        assert effects == [Kill()]
    if isinstance(event, SwitchedOff):
        assert not after.is_wanted
        assert after.phase in {Phase.STOPPED, Phase.STOPPING, Phase.LAUNCHING}
    if after.is_ready:
        assert after.phase is Phase.RUNNING
    assert msgspec.json.decode(msgspec.json.encode(after), type=State) == after
    public_state(after.phase)


@pytest.mark.parametrize("seed", range(200))
def test_any_life_keeps_the_promises_and_obeys_in_the_end(seed: int) -> None:
    """After any history: switched off it comes to rest without a child, switched on it comes to run."""
    chance = random.Random(seed)
    life = Life(chance.choice([PLAIN, PROBED, ProcessPolicy(restart=RestartPolicy(when="always", delays_s=(0, 5)))]))
    attempt = 0
    for _ in range(200):
        event = chance.choice([*_possible(life.state), *_asked(attempt)])
        attempt = max(attempt, event.attempt) if isinstance(event, SwitchedOn) else attempt
        life.now += chance.choice([0, 0.1, 10, 100])
        before = life.state
        life.take(event)
        check_promises(before, event, life.state, life.effects, life.policy)
    _obey(life, SwitchedOff())
    assert (life.state.phase, life.state.child) == (Phase.STOPPED, None)
    _obey(life, SwitchedOn(attempt + 1))
    assert (life.state.phase, life.state.is_ready) == (Phase.RUNNING, True)


def _asked(attempt: int) -> list[Event]:
    return [SwitchedOn(attempt), SwitchedOn(attempt + 1), SwitchedOff(), RestartAsked(), KillAsked(), RetryAsked()]


def _possible(state: State) -> list[Event]:
    """Return what the world can answer in this state."""
    match state.phase:
        case Phase.CLEARING:
            return [Cleared(), Blocked(REASON)]
        case Phase.LAUNCHING:
            return [Launched(CHILD, 1000.0), LaunchFailed(REASON)]
        case Phase.STARTING | Phase.RUNNING:
            return [Exited(Exit(code=1)), Exited(Exit(code=0)), ProbeAnswered(), ProbeFailed("refused"), TimePassed()]
        case Phase.STOPPING:
            return [Exited(Exit(signal="SIGKILL")), TimePassed()]
        case _:
            return [TimePassed(), GiveUpAsked()]


def _obey(life: Life, order: Event) -> None:
    """Give an order, and let the world do what a healthy one does."""
    life.take(order)
    for _ in range(10):
        match life.state.phase:
            case Phase.CLEARING:
                life.take(Cleared())
            case Phase.LAUNCHING:
                life.take(Launched(CHILD, life.now))
            case Phase.STARTING:
                life.take(ProbeAnswered())
            case Phase.STOPPING:
                life.take(Exited(Exit(signal="SIGKILL")))
            case _:
                return

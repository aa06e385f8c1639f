"""What is told of a process: lives of the real machine, and the history that comes out of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from zlh_agent.journal.model import Occurrence
from zlh_agent.supervision.machine import step
from zlh_agent.supervision.model import (
    Blocked,
    Child,
    Cleared,
    Event,
    Exit,
    Exited,
    FoundDown,
    GiveUpAsked,
    KillAsked,
    Launched,
    LaunchFailed,
    Phase,
    ProbeAnswered,
    ProbeFailed,
    RestartAsked,
    RetryAsked,
    State,
    SwitchedOff,
    SwitchedOn,
    TimePassed,
)
from zlh_agent.supervision.rules import Move, tell_move
from zlh_common.schema.process import (
    HangPolicy,
    ProcessPolicy,
    ProcessReason,
    ReadyPolicy,
    RestartPolicy,
    TcpProbe,
)

CHILD = Child(7, 70, "b")
WALL = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = ProcessPolicy()
AT_ONCE = ProcessPolicy(restart=RestartPolicy(delays_s=(0.0,)))
PROBED = ProcessPolicy(ready=ReadyPolicy(probe=TcpProbe(port=1), grace_s=60), hang=HangPolicy(after_s=30))
HANGING = ProcessPolicy(
    ready=ReadyPolicy(probe=TcpProbe(port=1), grace_s=60, on_slow="restart"),
    hang=HangPolicy(after_s=30, action="restart"),
)


class Told:
    """One process under the machine, and what is told of it."""

    def __init__(self, policy: ProcessPolicy = PLAIN) -> None:
        self.policy = policy
        self.now = 1000.0
        self.state = State()
        self.told: list[Occurrence] = []

    @property
    def wall(self) -> datetime:
        return WALL + timedelta(seconds=self.now - 1000)

    def take(self, *events: Event) -> Told:
        for event in events:
            before = self.state
            self.state, _ = step(before, event, policy=self.policy, now=self.now)
            if self.state != before:
                self.told += tell_move(Move("web", before, event, self.state, self.policy, self.now, self.wall))
        return self

    def wait(self, seconds: float) -> Told:
        self.now += seconds
        return self.take(TimePassed())

    def run(self) -> Told:
        return self.take(SwitchedOn(0), Cleared(), Launched(CHILD, self.now))

    def end(self, **how: object) -> Told:
        at_ns = int(self.wall.timestamp() * 1e9)
        return self.take(Exited(Exit(at_ns=at_ns, **how)))  # type: ignore[arg-type]

    def kinds(self) -> list[str]:
        """Return what was told since this was last asked."""
        kinds = [one.kind.removeprefix("process.") for one in self.told]
        self.last, self.told = self.told, []
        return kinds

    last: list[Occurrence] = []  # noqa: RUF012 - replaced, never changed


def test_a_life_is_told_from_the_start_to_the_end_that_was_asked_for() -> None:
    """In the order in which it happened, each thing once."""
    life = Told().run()
    assert life.kinds() == ["start_asked", "started"]
    assert life.last[1].data == {"pid": 7, "restarts": 0}
    life.now += 12
    life.take(SwitchedOff())
    assert (life.kinds(), life.last[0].data) == (["stop_asked"], {"restart": False})
    life.now += 1
    life.end(signal="SIGTERM")
    assert life.kinds() == ["exited"]
    ended = life.last[0]
    assert ended.data == {
        "code": None, "signal": "SIGTERM", "outOfMemory": False, "uptimeS": 13.0, "wasAsked": True,
    }  # fmt: skip
    assert (ended.at, ended.message) == (life.wall, "web was ended by SIGTERM.")


def test_crashes_are_told_with_what_follows() -> None:
    """The wait before each restart, and that it was given up."""
    life = Told().run()
    life.kinds()
    for number, delay_s in enumerate((30, 60, 120), 1):
        life.end(code=3)
        assert life.kinds() == ["exited", "restart_scheduled"]
        assert life.last[0].data["wasAsked"] is False
        assert life.last[1].data == {"delayS": delay_s, "restarts": number}
        life.wait(delay_s).take(Cleared(), Launched(CHILD, life.now))
        assert (life.kinds(), life.last[0].data["restarts"]) == (["started"], number)
    life.end(code=3)
    assert life.kinds() == ["exited", "gave_up"]
    assert life.last[1].data == {"code": "crashed", "restarts": 3}
    life.take(RetryAsked())
    assert life.kinds() == ["start_asked"]


def test_a_restart_without_a_wait_is_told_by_its_start() -> None:
    """There is nothing that was scheduled."""
    life = Told(AT_ONCE).run().end(code=1).take(Cleared(), Launched(CHILD, 1000.0))
    assert life.kinds() == ["start_asked", "started", "exited", "started"]
    assert life.last[-1].data["restarts"] == 1


def test_memory_that_was_used_up_is_told() -> None:
    """By the kernel's own verdict."""
    life = Told().run()
    life.kinds()
    life.end(signal="SIGKILL", out_of_memory=True).kinds()
    assert life.last[0].data["outOfMemory"] is True


def test_readiness_a_hang_and_the_recovery_are_told() -> None:
    """Each once, however often the probe is asked."""
    life = Told(PROBED).run()
    life.kinds()
    life.now += 4
    life.take(ProbeAnswered(), ProbeAnswered())
    assert (life.kinds(), life.last[0].data) == (["ready"], {"afterS": 4.0})
    for _ in range(3):
        life.take(ProbeFailed("refused"))
        life.now += 20
    assert life.kinds() == ["hung"]
    assert life.last[0].data == {"silentS": 40.0, "restart": False}
    life.take(ProbeAnswered())
    assert life.kinds() == ["recovered"]


def test_a_hang_that_is_ended_is_no_end_that_was_asked_for() -> None:
    """It is told as hung, and its end as a crash."""
    life = Told(HANGING).run().take(ProbeAnswered(), ProbeFailed("x"))
    life.kinds()
    life.now += 30
    life.take(ProbeFailed("x"))
    assert (life.kinds(), life.last[0].data["restart"]) == (["hung"], True)
    life.end(signal="SIGTERM")
    assert life.kinds() == ["exited", "restart_scheduled"]
    assert life.last[0].data["wasAsked"] is False


@pytest.mark.parametrize(("policy", "restarts"), [(PROBED, False), (HANGING, True)])
def test_a_slow_start_is_told(policy: ProcessPolicy, restarts: bool) -> None:
    """With what is done about it."""
    life = Told(policy).run().wait(60)
    assert life.kinds()[-1:] == ["start_slow"]
    assert life.last[-1].data == {"restart": restarts}


def test_a_kill_is_told_with_who_did_it() -> None:
    """Somebody, or the deadline of a stop."""
    life = Told().run().take(KillAsked())
    assert life.kinds()[-1:] == ["killed"]
    assert life.last[-1].data == {"wasAsked": True}
    life = Told().run().take(SwitchedOff()).wait(100)
    assert life.kinds()[-1:] == ["killed"]
    assert life.last[-1].data == {"wasAsked": False}


def test_orders_are_told_as_such() -> None:
    """Restart, give up."""
    life = Told().run().take(RestartAsked())
    assert (life.kinds()[-1:], life.last[-1].data) == (["stop_asked"], {"restart": True})
    life = Told().run().end(code=1).take(GiveUpAsked())
    assert (life.kinds()[-1:], life.last[-1].data["code"]) == (["gave_up"], "given_up")


def test_a_start_that_fails_is_told_with_its_reason() -> None:
    """Whether something was in its way or the program is none."""
    reason = ProcessReason(code="port_busy", message="Port 1 is held.")
    for events in ([Blocked(reason)], [Cleared(), LaunchFailed(reason)]):
        life = Told().take(SwitchedOn(0), *events)
        assert life.kinds() == ["start_asked", "start_failed", "restart_scheduled"]
        assert (life.last[1].data, life.last[1].message) == ({"code": "port_busy"}, "web: Port 1 is held.")


def test_a_new_agent_tells_only_what_nobody_has_told() -> None:
    """A child that it knows is no news; one that it does not know was found; an end that nobody saw is one."""
    life = Told().run()
    life.kinds()
    life.now += 100
    life.take(Launched(CHILD, 1000.0))
    assert life.kinds() == []
    life.take(FoundDown())
    assert life.kinds() == ["exited", "restart_scheduled"]
    assert (life.last[0].at, life.last[0].data["uptimeS"], life.last[0].data["code"]) == (None, None, None)
    lost = Told()
    lost.state = State(phase=Phase.CLEARING, is_wanted=True)
    lost.now += 100
    lost.take(Launched(CHILD, 1000.0))
    assert (lost.kinds(), lost.last[0].data) == (["found"], {"pid": 7, "uptimeS": 100.0})

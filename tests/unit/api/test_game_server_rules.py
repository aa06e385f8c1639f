"""What is told of a game server: its position for every state of its process, and what its agent may say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from fakes.game_templates import BLOCKS, version
from unit.api.test_status import NOW, RUNNING, agent
from zlh_api.containers.model import Container, Guest, Power
from zlh_api.containers.status import find_degradations, render_status
from zlh_api.games.model import GameWish, HeldPort
from zlh_api.games.server_rules import GAME_PROTOCOL
from zlh_api.reconcile.spec import known_protocol, render_spec
from zlh_common.schema.game import GameBackup, GameReport
from zlh_common.schema.process import HangPolicy, LineProbe, ProcessPolicy, ReadyPolicy, WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import Connection, ContainerStatus, Lifecycle, ProcessStatus, Step, StepState
from zlh_common.schema.structs import decode, encode

WISH = GameWish(template="blocks", title="Blocks", definition=BLOCKS, version=version("1.21.8"))
GAME = replace(RUNNING, kind="game", game=WISH, game_ports=(HeldPort("game", "tcp", 25565, 25501),))
INSTALL = Step(name="install blocks 1.21.8", state=StepState.RUNNING)


def with_server(base: Container = GAME, *, steps: tuple[Step, ...] = (), **server: Any) -> Container:
    """Return the container with an agent that tells this of its server; of none where nothing is given."""
    processes = (ProcessStatus(name="server", **server),) if server else ()
    told = agent(processes=processes, steps=steps, game=GameReport(template="blocks", version="1.21.8"))
    return replace(base, agent=told)


def report(container: Container) -> ContainerStatus:
    """Return what people are told."""
    return render_status(container, domain="example.org", url="http://x/")


@pytest.mark.parametrize(
    ("power", "server", "lifecycle", "is_ready"),
    [
        ("on", {"state": "running", "ready": True}, "running", True),
        ("on", {"state": "running"}, "running", False),
        ("on", {"state": "starting"}, "starting", False),
        ("on", {"state": "stopping"}, "stopping", False),
        ("on", {"state": "backoff"}, "backoff", False),
        ("on", {"state": "error"}, "error", False),
        ("on", {"state": "stopped"}, "starting", False),
        ("on", {"state": "stopped", "exited_at": NOW}, "stopped", False),
        ("on", {}, "starting", False),
        ("off", {"state": "running", "ready": True}, "stopping", False),
        ("off", {"state": "stopping"}, "stopping", False),
        ("off", {"state": "error"}, "stopped", False),
        ("off", {"state": "stopped"}, "stopped", False),
        ("off", {}, "stopped", False),
    ],
)
def test_the_lifecycle_is_that_of_the_server(
    power: str, server: dict[str, Any], lifecycle: str, is_ready: bool
) -> None:
    """The guest runs all the while."""
    told = report(with_server(replace(GAME, power=Power(power)), **server))
    assert (told.lifecycle, told.ready, told.power) == (Lifecycle(lifecycle), is_ready, power)


def test_a_version_that_is_brought_is_told() -> None:
    """While it is stopped for that, a server is being installed."""
    told = report(with_server(steps=(INSTALL,), state="stopped", exited_at=NOW))
    assert told.lifecycle is Lifecycle.INSTALLING
    assert told.game is not None
    assert told.game.state == "changing"
    failed = msgspec.structs.replace(INSTALL, state=StepState.FAILED)
    told = report(with_server(steps=(failed,), state="running", ready=True))
    assert told.game is not None
    assert (told.game.state, told.lifecycle) == ("failed", Lifecycle.RUNNING)


@pytest.mark.parametrize(
    ("change", "lifecycle"),
    [
        ({"is_suspended": True, "guest": Guest.RUNNING}, "stopping"),
        ({"is_suspended": True, "guest": Guest.STOPPED}, "stopped"),
        ({"connection": Connection.OFFLINE}, "starting"),
        ({"connection": Connection.OFFLINE, "power": Power.OFF}, "stopped"),
        ({"provisioned_at": None}, "provisioning"),
        ({"provisioned_at": None, "power": Power.OFF}, "stopped"),
        ({"deleting_at": NOW}, "deleting"),
    ],
)
def test_what_is_around_a_server_comes_first(change: dict[str, Any], lifecycle: str) -> None:
    """Nobody says that a server runs whose container does not."""
    told = report(replace(with_server(state="stopped"), **change))
    assert (told.lifecycle, told.ready) == (Lifecycle(lifecycle), False)


def test_a_server_that_is_down_is_told_apart() -> None:
    """Its container is not broken by it."""
    assert find_degradations(with_server(state="error")) == ("server_down",)
    assert find_degradations(with_server(state="running")) == ("server_not_answering",)
    assert find_degradations(with_server(replace(GAME, power=Power.OFF), state="error")) == ()
    assert find_degradations(with_server(state="running", ready=True)) == ()


def test_the_address_is_told_and_what_a_stranger_says_is_bounded() -> None:
    """An agent may say anything of its game."""
    backup = GameBackup(id="a" * 32, version="1", made_at=NOW, size=1)
    told = GameReport(
        template="t" * 500, version="v" * 500, backups=(backup,) * 500, hint="h" * 9000, hint_code="c" * 900
    )
    shown = report(replace(GAME, agent=agent(game=told))).game
    assert shown is not None
    assert shown.address == "game-101.example.org:25501"
    assert max(len(text or "") for text in (shown.installed_version, shown.hint, shown.hint_code)) == 512
    assert report(RUNNING).game is None


def test_a_full_pool_takes_nothing_from_what_was_ready() -> None:
    """A port that a later version needs is told of as missing, and players go on at those that there are."""
    full = Step(name="reserve-ports", state=StepState.FAILED, code="no_game_port_free", message="None is free.")
    established = with_server(replace(GAME, steps=(full,)), state="running", ready=True)
    told = report(established)
    assert (told.provisioning_error, told.ready, told.degraded) == (None, True, ("ports_pending",))
    fresh = report(replace(established, provisioned_at=None))
    assert fresh.provisioning_error is not None
    assert fresh.provisioning_error.code == "no_game_port_free"


def test_only_an_agent_that_keeps_games_is_told_of_one() -> None:
    """Nothing that an older one would refuse; what it is told of heap and address is that of its container."""
    assert render_spec(GAME, 7).game is None
    told = render_spec(GAME, GAME_PROTOCOL)
    assert told.game is not None
    assert told.game.process.environment["BIND"] == "127.77.0.1:25565"
    assert decode(encode(told), AgentSpec) == told
    assert known_protocol(replace(GAME, agent=agent(protocol_version=9))) == GAME_PROTOCOL


def test_an_older_agent_is_spared_a_probe_that_it_does_not_know() -> None:
    """It would refuse the whole spec; its process is ready as soon as it runs."""
    policy = ProcessPolicy(ready=ReadyPolicy(probe=LineProbe(pattern="Done"), grace_s=5), hang=HangPolicy())
    mine = WantedProcess(name="mine", argv=("x",), policy=policy)
    plain = WantedProcess(name="plain", argv=("x",))
    container = replace(RUNNING, processes=(mine, plain))
    older = render_spec(container, 7).processes
    assert (older[0].policy.ready.probe, older[0].policy.hang, older[1]) == (None, None, plain)
    assert render_spec(container, GAME_PROTOCOL).processes == (mine, plain)

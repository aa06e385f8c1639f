"""The plan for a game server: its ports, the wait for it, its proof, and a guest that stays up without it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from unit.api.test_plan import EFFECTS, WANTED, World, walk
from zlh_api.containers.model import Guest, Power
from zlh_api.reconcile.plan import (
    SETTLED,
    Await,
    Do,
    GameSteps,
    Records,
    Route,
    Seen,
    Server,
    Wanted,
    decide_next,
    first_steps,
)
from zlh_common.schema.status import StepState

NOTHING = Seen(
    has_address=False,
    guest=Guest.ABSENT,
    is_closed=True,
    is_sized=True,
    has_identity=False,
    is_agent_online=False,
    accepted_generation=0,
    observed_generation=0,
    route=Route.ABSENT,
    is_proved=False,
    has_ports=False,
    server=Server.WAITING,
)
UP = replace(
    NOTHING,
    has_address=True,
    guest=Guest.RUNNING,
    has_identity=True,
    is_agent_online=True,
    accepted_generation=2,
    observed_generation=2,
    route=Route.CONFIRMED,
    has_ports=True,
)
ON = Wanted(power=Power.ON, is_suspended=False, is_deleting=False, spec_generation=2, is_restart_due=False)


@pytest.fixture(autouse=True)
def _effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the steps of a game server bring about."""
    monkeypatch.setitem(EFFECTS, Do.RESERVE_PORTS, {"has_ports": True})
    monkeypatch.setitem(EFFECTS, Await.RUN_SERVER, {"server": Server.SETTLED})


@pytest.mark.parametrize(("has_dns", "records"), [(False, Records.SETTLED), (True, Records.STALE)])
def test_provisioning_of_a_game_keeps_its_order(has_dns: bool, records: Records) -> None:
    """Each step is taken once, in the order in which people are shown them."""
    start = World(ON, replace(NOTHING, records=records))
    taken = [str(step) for step in walk(start)[0] if step is not Await.INSTALL]
    listed = first_steps(has_dns=has_dns, game=GameSteps(has_ports=True))
    assert taken == [name for name, state in listed if state is StepState.PENDING]


def test_without_ports_of_the_proxy_none_are_reserved() -> None:
    """The step is shown as skipped, and everything else is as ever."""
    states = dict(first_steps(game=GameSteps(has_ports=False)))
    assert states["reserve-ports"] is StepState.SKIPPED
    assert Do.RESERVE_PORTS not in walk(World(ON, replace(NOTHING, has_ports=True)))[0]


def test_what_was_ready_once_waits_for_ports_with_its_route_alone() -> None:
    """A full pool keeps no guest of an established container from running, and no spec from its agent."""
    down = replace(
        UP, is_proved=True, has_ports=False, guest=Guest.STOPPED, is_agent_online=False, server=Server.SETTLED
    )
    taken, _ = walk(World(ON, down))
    assert taken[:2] == [Do.START_GUEST, Await.CONNECT_AGENT]
    assert taken[-1] is Do.RESERVE_PORTS
    assert decide_next(ON, replace(UP, is_proved=True, has_ports=False, route=Route.STALE)) is Do.PUBLISH_ROUTE


def test_a_server_is_waited_for_before_the_proof_and_never_after() -> None:
    """One that cannot come up goes to the proof, which says why; one that is proved may be as it is."""
    assert decide_next(ON, UP) is Await.RUN_SERVER
    assert decide_next(ON, replace(UP, server=Server.ABSENT)) is Do.CHECK_READY
    assert decide_next(ON, replace(UP, server=Server.SETTLED)) is Do.CHECK_READY
    for server in Server:
        assert decide_next(ON, replace(UP, server=server, is_proved=True)) == SETTLED


def test_a_server_that_is_off_is_waited_for_by_nobody() -> None:
    """Its guest is made and stays up; the proof comes once it is switched on."""
    off = replace(ON, is_server_off=True)
    for server in Server:
        _, end = walk(World(off, replace(NOTHING, server=server)))
        assert end.next() == SETTLED
        assert end.seen.guest is Guest.RUNNING
        assert not end.seen.is_proved
    assert decide_next(ON, replace(UP, server=Server.SETTLED)) is Do.CHECK_READY


def test_every_world_of_a_game_arrives() -> None:
    """Whatever was seen, walking ends; what is deleted or off never reserves or waits."""
    seen = [
        replace(UP, has_ports=ports, server=server, route=route, is_proved=proved, guest=guest)
        for ports, server, route, proved, guest in product(
            (True, False), Server, Route, (True, False), (Guest.ABSENT, Guest.STOPPED, Guest.RUNNING)
        )
    ]
    for wanted, each in product(WANTED, seen):
        taken, end = walk(World(wanted, each))
        assert end.is_gone or end.next() == SETTLED
        if wanted.is_deleting or wanted.is_off:
            assert Do.RESERVE_PORTS not in taken
            assert Await.RUN_SERVER not in taken

"""The plan over every world: which step comes next, what order they keep, and that they always arrive."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import pytest

from zlh_api.containers.model import Guest, Power
from zlh_api.reconcile.plan import (
    DELETION_STEPS,
    PROVISIONING_STEPS,
    SETTLED,
    Addons,
    Await,
    Do,
    Next,
    Records,
    Route,
    Seen,
    Wanted,
    decide_next,
    first_steps,
)
from zlh_common.schema.status import StepState

GENERATION = 2
BOOLS = (False, True)
WANTED = [
    Wanted(
        power=power,
        is_suspended=suspended,
        is_deleting=deleting,
        spec_generation=GENERATION,
        is_restart_due=restart,
    )
    for power, suspended, deleting, restart in product(Power, BOOLS, BOOLS, BOOLS)
]
SEEN = [
    Seen(
        has_address=address,
        guest=guest,
        is_closed=closed,
        is_sized=sized,
        has_identity=identity,
        is_agent_online=online,
        accepted_generation=accepted,
        observed_generation=observed,
        route=route,
        is_proved=proved,
    )
    for address, guest, closed, sized, identity, online, accepted, observed, route, proved in product(
        BOOLS, Guest, BOOLS, BOOLS, BOOLS, BOOLS, (1, GENERATION), (1, GENERATION), Route, BOOLS
    )
]
SEEN += [
    replace(seen, is_resize_put_off=True)
    for seen in SEEN
    if not seen.is_sized and seen.is_closed and seen.has_address and seen.accepted_generation == GENERATION
]
SEEN += [replace(seen, may_renew_identity=True) for seen in SEEN if seen.is_agent_online and not seen.has_identity]
SEEN += [replace(seen, has_renewal_failed=True) for seen in SEEN if seen.may_renew_identity]
SEEN += [replace(seen, has_closing_failed=True) for seen in SEEN if seen.guest is Guest.RUNNING and not seen.is_closed]
SEEN += [replace(seen, has_publishing_failed=True) for seen in SEEN if seen.is_proved and seen.route is Route.STALE]
SEEN += [replace(seen, is_tidy=False) for seen in SEEN if seen.guest is Guest.STOPPED]
SEEN += [
    replace(seen, records=records, is_records_put_off=put_off)
    for seen in SEEN
    if seen.is_tidy and seen.is_sized and seen.has_identity and seen.is_closed and seen.is_agent_online
    for records, put_off in product((Records.STALE, Records.WRITTEN), BOOLS)
]
SEEN += [
    replace(seen, addons=addons)
    for seen in SEEN
    if seen.guest is Guest.RUNNING and seen.is_closed and seen.has_address and seen.is_agent_online and seen.is_sized
    for addons in (Addons.WAITING, Addons.ABSENT, Addons.UNSEEN)
]
ON_THE_GUEST = {Do.CLOSE_NETWORK, Do.RESIZE_GUEST, Do.PUT_IDENTITY, Do.START_GUEST, Do.STOP_GUEST, Do.DESTROY_GUEST}

EFFECTS: dict[Do | Await, dict[str, Any]] = {
    Do.RESERVE_ADDRESS: {"has_address": True},
    Do.CREATE_GUEST: {"guest": Guest.STOPPED, "has_identity": False, "is_agent_online": False, "is_closed": False},
    Do.CLOSE_NETWORK: {"is_closed": True, "has_closing_failed": False},
    Do.RESIZE_GUEST: {"is_sized": True},
    Do.PUT_IDENTITY: {"has_identity": True},
    Do.RENEW_IDENTITY: {"has_identity": True, "has_renewal_failed": False},
    Do.START_GUEST: {"guest": Guest.RUNNING},
    Await.CONNECT_AGENT: {"is_agent_online": True},
    Do.SEND_SPEC: {"accepted_generation": GENERATION},
    Await.INSTALL: {"observed_generation": GENERATION},
    Do.PUBLISH_ROUTE: {"route": Route.WRITTEN, "has_publishing_failed": False},
    Do.CONFIRM_ROUTE: {"route": Route.CONFIRMED},
    Await.RUN_CODE_SERVER: {"addons": Addons.UNSEEN},
    Do.OPEN_CODE_SERVER: {"addons": Addons.SETTLED},
    Do.PUBLISH_RECORDS: {"records": Records.WRITTEN},
    Do.ANSWER_DNS: {"records": Records.SETTLED},
    Do.CHECK_READY: {"is_proved": True},
    Do.STOP_GUEST: {"guest": Guest.STOPPED, "is_agent_online": False, "is_tidy": True},
    Do.WITHDRAW_ROUTE: {"route": Route.ABSENT},
    Do.DESTROY_GUEST: {"guest": Guest.ABSENT, "is_agent_online": False},
    Do.WITHDRAW_RECORDS: {"records": Records.SETTLED},
    Do.RELEASE_ADDRESS: {"has_address": False},
}


class Refused(Exception):
    """The step says no, which is all that may happen to a foreign guest."""


@dataclass(frozen=True, slots=True)
class World:
    """What a row asks for, what there is, and whether the row still exists."""

    wanted: Wanted
    seen: Seen
    is_gone: bool = False

    def next(self) -> Next:
        """Return what the plan says."""
        return decide_next(self.wanted, self.seen)

    def after(self, step: Do | Await) -> World:
        """Return the world in which a step has taken effect."""
        if step is Do.FORGET:
            return replace(self, is_gone=True)
        if step is Do.CREATE_GUEST and self.seen.guest is Guest.FOREIGN:
            raise Refused
        wanted = replace(self.wanted, is_restart_due=False) if step is Do.START_GUEST else self.wanted
        return World(wanted, replace(self.seen, **EFFECTS[step]))


def worlds() -> Iterator[World]:
    """Yield every starting point there is."""
    for wanted, seen in product(WANTED, SEEN):
        yield World(wanted, seen)


def walk(world: World) -> tuple[list[Do | Await], World]:
    """Return the steps from a world to its end, and the end; fails where there is none."""
    taken: list[Do | Await] = []
    while not world.is_gone and isinstance(step := world.next(), Do | Await):
        taken.append(step)
        assert len(taken) <= 20, f"{taken} goes on for ever"
        try:
            world = world.after(step)
        except Refused:
            return taken, world
    return taken, world


@functools.cache
def _walks() -> list[tuple[tuple[Do | Await, ...], World]]:
    """Return the walk from each world, in their order, made once for all tests; what is equal is held once."""
    held: dict[Any, Any] = {}
    return [tuple(held.setdefault(part, part) for part in (tuple(taken), end)) for taken, end in map(walk, worlds())]


def walked() -> Iterator[tuple[World, tuple[Do | Await, ...], World]]:
    """Yield every starting point there is, the steps from there to its end, and the end."""
    for start, (taken, end) in zip(worlds(), _walks(), strict=True):
        yield start, taken, end


def test_every_world_reaches_its_end() -> None:
    """From anywhere: settled, or the row gone, or refused by a foreign guest, and never round in circles."""
    for start, _, end in walked():
        is_refused = start.seen.guest is Guest.FOREIGN and not start.wanted.is_off
        if start.wanted.is_deleting:
            assert end.is_gone
        elif not is_refused:
            assert end.next() == SETTLED


def test_a_settled_world_is_the_one_that_was_wanted() -> None:
    """On means reachable at the wanted generation, off means not running."""
    for _, _, end in walked():
        if end.is_gone or end.next() != SETTLED:
            continue
        if end.wanted.power is Power.OFF or end.wanted.is_suspended:
            assert end.seen.guest is not Guest.RUNNING
            # Of what was ready once, the name leads on to the page that stands in for it.
            assert end.seen.route is Route.CONFIRMED or not (end.seen.is_proved and end.seen.has_address)
        else:
            assert end.seen.guest is Guest.RUNNING
            assert end.seen.route is Route.CONFIRMED
            assert end.seen.records is Records.SETTLED or end.seen.is_records_put_off
            assert end.seen.observed_generation == GENERATION
            assert end.seen.is_proved
            assert not end.wanted.is_restart_due


def test_a_foreign_guest_is_never_acted_upon() -> None:
    """The one step towards a foreign guest is the create, which refuses."""
    for world in worlds():
        if world.seen.guest is Guest.FOREIGN:
            assert world.next() not in ON_THE_GUEST


def test_a_foreign_guest_stops_a_container_that_should_run() -> None:
    """The stranger is met at the create, so that the refusal has a name."""
    for world, taken, end in walked():
        if world.seen.guest is Guest.FOREIGN and not world.wanted.is_off and not world.wanted.is_deleting:
            assert taken[-1] is Do.CREATE_GUEST
            assert end.seen.guest is Guest.FOREIGN


def test_a_step_is_named_only_while_its_effect_is_missing() -> None:
    """Taking a step always changes the world, so a step that worked is not asked for again."""
    for world in worlds():
        step = world.next()
        if isinstance(step, Do | Await) and world.seen.guest is not Guest.FOREIGN:
            after = world.after(step)
            assert after != world
            assert after.is_gone or after.next() != step


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(DELETION_STEPS)))
def test_deletion_keeps_its_order(earlier: str, later: str) -> None:
    """Route before guest, guest before address, address before the row; only what runs open is stopped at once."""
    for world, taken, _ in walked():
        if not world.wanted.is_deleting or (world.seen.guest is Guest.RUNNING and not world.seen.is_closed):
            continue
        names = [str(step) for step in taken]
        if earlier in names and later in names:
            assert names.index(earlier) < names.index(later)


def test_nothing_is_destroyed_while_a_route_leads_there() -> None:
    """Whatever takes something away from a container finds its route gone first."""
    for world in worlds():
        if world.next() in {Do.DESTROY_GUEST, Do.RELEASE_ADDRESS, Do.FORGET}:
            assert world.seen.route is Route.ABSENT


def test_an_address_is_released_only_without_a_guest_of_ours() -> None:
    """An address that a guest could still use is nobody else's."""
    for world in worlds():
        if world.next() in {Do.RELEASE_ADDRESS, Do.FORGET}:
            assert world.seen.guest in {Guest.ABSENT, Guest.FOREIGN}


def test_a_row_is_forgotten_only_without_an_address() -> None:
    """The row goes last."""
    for world in worlds():
        if world.next() is Do.FORGET:
            assert not world.seen.has_address


def test_nothing_is_destroyed_unless_the_customer_asked() -> None:
    """A container that is to stay never meets a step of deletion."""
    deletion_only = set(DELETION_STEPS) - {Do.STOP_GUEST}
    for world in worlds():
        if not world.wanted.is_deleting:
            assert str(world.next()) not in deletion_only


def test_provisioning_keeps_its_order() -> None:
    """From nothing, every step that is not skipped is taken once and in the order that people are shown."""
    nothing = Seen(
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
    )
    wanted = Wanted(power=Power.ON, is_suspended=False, is_deleting=False, spec_generation=1, is_restart_due=False)
    for has_dns, records in ((False, Records.SETTLED), (True, Records.STALE)):
        start = World(wanted, replace(nothing, records=records))
        taken = [str(step) for step in walk(start)[0] if step is not Await.INSTALL]
        assert taken == [name for name, state in first_steps(has_dns=has_dns) if state is StepState.PENDING]
        assert [name for name, _ in first_steps(has_dns=has_dns)] == [str(name) for name in PROVISIONING_STEPS]


def test_a_new_container_opens_its_addons_before_it_is_ready() -> None:
    """Behind its route and before its proof; what was ready once waits for none of them, and opens each run last."""
    for world in worlds():
        step, addons = world.next(), world.seen.addons
        if step is Do.OPEN_CODE_SERVER:
            assert world.seen.route is Route.CONFIRMED
            assert addons is Addons.UNSEEN or (addons is Addons.ABSENT and not world.seen.is_proved)
        if step is Await.RUN_CODE_SERVER:
            assert not world.seen.is_proved
        if step is Do.CHECK_READY:
            assert addons is Addons.SETTLED
        if world.seen.is_proved and step is not Do.OPEN_CODE_SERVER:
            assert step == World(world.wanted, replace(world.seen, addons=Addons.SETTLED)).next()


def test_addons_are_steps_of_a_container_that_is_made_with_them() -> None:
    """In the order in which they are taken; without any, nobody is shown what never comes."""
    names = [name for name, _ in first_steps(has_addons=True)]
    at = names.index("confirm-route")
    assert names[at : at + 3] == ["confirm-route", "run-code-server", "open-code-server"]
    assert [name for name in names if "code-server" not in name] == [name for name, _ in first_steps()]


def test_a_provider_that_is_away_holds_up_nothing_else() -> None:
    """While they are put off, all goes on as if they were right; deletion lets the guest go and keeps the address."""
    for world in worlds():
        settled = World(world.wanted, replace(world.seen, records=Records.SETTLED))
        if world.seen.is_records_put_off and not world.wanted.is_deleting:
            assert world.next() == settled.next()
        if world.wanted.is_deleting and world.seen.records is not Records.SETTLED:
            assert world.next() not in {Do.RELEASE_ADDRESS, Do.FORGET}
            assert world.next() == settled.next() or world.next() is Do.WITHDRAW_RECORDS


def test_records_lead_to_a_route_that_is_in_use() -> None:
    """A name is published once something stands behind it, and answered before it is opened from outside."""
    for world in worlds():
        if world.next() in {Do.PUBLISH_RECORDS, Do.ANSWER_DNS}:
            assert world.seen.route is Route.CONFIRMED
        if world.next() is Do.CHECK_READY:
            assert world.seen.records is Records.SETTLED or world.seen.is_records_put_off


def test_no_guest_starts_with_an_open_network() -> None:
    """It would be a shell for every neighbour from its first moment on; one that runs open is closed first."""
    for world in worlds():
        step = world.next()
        if step is Do.START_GUEST:
            assert world.seen.is_closed
        if world.seen.guest is Guest.RUNNING and not world.seen.is_closed and world.seen.has_address:
            assert step in {Do.CLOSE_NETWORK, Do.STOP_GUEST, Do.WITHDRAW_ROUTE}


def test_refused_limits_hold_up_nothing() -> None:
    """While they are put off, all goes on as if they had been set."""
    for world in worlds():
        if world.seen.is_resize_put_off:
            assert world.next() is not Do.RESIZE_GUEST
            assert world.next() == World(world.wanted, replace(world.seen, is_sized=True)).next()


def test_off_is_off() -> None:
    """Nothing of a guest that should be off is left running or mounted, however it has ended."""
    for world, _, end in walked():
        if world.wanted.is_off and not end.is_gone and end.seen.guest is Guest.STOPPED:
            assert end.seen.is_tidy


def test_a_key_is_replaced_before_an_install_is_waited_for_and_after_it_where_that_has_failed() -> None:
    """A key that may be stolen is urgent; an agent that takes no other keeps its container from nothing."""
    for wanted, seen in product(WANTED, SEEN):
        step = decide_next(wanted, seen)
        if not seen.may_renew_identity or seen.has_identity:
            assert step is not Do.RENEW_IDENTITY
        elif not seen.has_renewal_failed:
            assert step not in {Await.INSTALL, Do.PUBLISH_ROUTE, Do.CONFIRM_ROUTE, Do.CHECK_READY, SETTLED} or (
                wanted.is_deleting or wanted.is_off
            )
        elif step is Do.RENEW_IDENTITY:
            assert seen.route is Route.CONFIRMED
            assert seen.is_proved or seen.observed_generation == GENERATION


def test_an_identity_is_put_in_before_the_guest_starts() -> None:
    """No guest runs without the keys by which we know it."""
    for world in worlds():
        if world.next() is Do.START_GUEST:
            assert world.seen.has_identity


def test_killed_after_any_step_and_resumed_ends_the_same() -> None:
    """The plan remembers nothing: the rest of the way is the same from every point of it, whichever way led there."""
    rests: dict[World, tuple[list[Do | Await], World]] = {}
    for start, taken, end in walked():
        world = start
        for done, step in enumerate(taken[:-1], start=1):
            world = world.after(step)
            if world not in rests:
                rests[world] = walk(World(world.wanted, world.seen))
            assert rests[world] == (list(taken[done:]), end)


def test_what_is_installed_later_keeps_no_route_from_a_container() -> None:
    """Once it was proved, that is waited for when nothing else is left to do; the first time before its route."""
    for world in worlds():
        if world.next() is Await.INSTALL:
            assert not world.seen.is_proved or world.seen.route is Route.CONFIRMED


def test_a_port_that_is_published_waits_for_nothing_else() -> None:
    """The route of what was ready once goes before its spec, and the spec before anybody waits for the proxy."""
    met = 0
    for world in worlds():
        seen, step = world.seen, world.next()
        if world.wanted.is_off or world.wanted.is_deleting or not seen.is_proved or seen.route is not Route.STALE:
            continue
        if step is Do.SEND_SPEC:
            assert seen.has_publishing_failed or seen.may_renew_identity
        if step is Do.PUBLISH_ROUTE and not seen.has_publishing_failed and seen.accepted_generation < GENERATION:
            assert walk(world)[0][:3] == [Do.PUBLISH_ROUTE, Do.SEND_SPEC, Do.CONFIRM_ROUTE]
            met += 1
    assert met


def test_a_restart_is_one_stop_and_one_start() -> None:
    """A due restart of a running container stops and starts it once."""
    for world, taken, _ in walked():
        is_due = world.wanted.is_restart_due and not world.wanted.is_off and not world.wanted.is_deleting
        if is_due and world.seen.guest is Guest.RUNNING and world.seen.has_address and world.seen.has_identity:
            power = [step for step in taken if step in {Do.STOP_GUEST, Do.START_GUEST}]
            assert power == [Do.STOP_GUEST, Do.START_GUEST]


def test_an_open_guest_does_not_run_on() -> None:
    """Whatever is wanted and whatever else is missing: it is closed at once, or stopped where that failed."""
    for world in worlds():
        if world.seen.guest is not Guest.RUNNING or world.seen.is_closed:
            continue
        step = world.next()
        assert step in {Do.CLOSE_NETWORK, Do.STOP_GUEST}
        if world.seen.has_closing_failed or world.wanted.is_deleting or not world.seen.has_address:
            assert step is Do.STOP_GUEST


def test_what_is_suspended_is_off_whatever_its_power_says() -> None:
    """Step by step as if it had been switched off, deleted or open ones included; and nothing of it starts."""
    for world in worlds():
        if world.wanted.is_suspended:
            switched_off = replace(world.wanted, is_suspended=False, power=Power.OFF)
            assert world.next() == World(switched_off, world.seen).next()
            assert world.next() not in {Do.START_GUEST, Do.CREATE_GUEST, Do.SEND_SPEC}


def test_what_is_resumed_ends_as_if_it_had_never_been_suspended() -> None:
    """From wherever the suspension has led, the same is reached: on and reachable, or off as its power says."""
    for start, _, held in walked():
        if not start.wanted.is_suspended or start.wanted.is_deleting or start.seen.guest is Guest.FOREIGN:
            continue
        resumed = replace(start.wanted, is_suspended=False)
        _, end = walk(World(resumed, held.seen))
        never = walk(World(resumed, start.seen))[1]
        assert end.next() == never.next() == SETTLED
        assert (end.seen.guest is Guest.RUNNING) == (resumed.power is Power.ON)

"""A version of the agent reaches a fleet wave after wave, by whichever process is there, and halts where it must."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from msgspec import UnsetType

from fakes.api_world import World
from fakes.updating_agents import NEW, NEWER, OLD, UpdatingAgents, offer_agents, run_fleet, tell_outcome
from zlh_api.agents.client import AgentRefused, AgentUnreachable
from zlh_api.rollouts import store
from zlh_api.rollouts.refusals import AgentNotOffered, CanaryUnsuitable, RolloutGoesBack, RolloutNotSoFar
from zlh_api.rollouts.service import RolloutService
from zlh_api.rollouts.worker import RolloutWorker
from zlh_common.errors import NotFound
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_update import AgentUpdateState
from zlh_common.schema.rollouts import Rollout, RolloutMember, RolloutState, StartRollout
from zlh_common.schema.structs import convert

AT_ONCE = 7


class Fleet:
    """A world with agents that can be told, and whoever tells them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agents = UpdatingAgents(world)
        self.service = RolloutService(world.database, world.catalog.agent_offers)
        self.worker = self.another_worker()
        offer_agents(world, NEW)

    def another_worker(self) -> RolloutWorker:
        """Return the worker of one more API process."""
        return RolloutWorker(self.world.database, self.agents, agent_port=7443)

    async def start(self, **fields: Any) -> Rollout:
        """Begin a roll-out without soak times."""
        wish = {"version": NEW, "soakMinutes": 0, "atOnce": AT_ONCE, **fields}
        return await self.service.start(convert(wish, StartRollout), started_by="operator@example.org")

    async def look(self, worker: RolloutWorker | None = None) -> None:
        """Look now, whenever the next look would be due, and tell whoever is to be told."""
        await self.world.fetch("update rollouts set due_at = now() returning 1")
        await (worker or self.worker).look()

    async def look_until(self, state: RolloutState, *, most: int = 400) -> Rollout:
        """Look until the newest roll-out has come there."""
        for _ in range(most):
            await self.look()
            if (newest := await self.newest()).state is state:
                return newest
        raise AssertionError(await self.newest())

    async def newest(self) -> Rollout:
        """Return the newest roll-out."""
        return (await self.service.fetch_page(before=None, limit=1))[0][0]

    async def states(self) -> dict[str, int]:
        """Return how many members are in which state."""
        rows = await self.world.fetch("select state, count(*) from rollout_members group by 1")
        return {row["state"]: row["count"] for row in rows}

    async def check_bounds(self) -> None:
        """Fail where more are told than the waves that have begun hold, or more are under way than may be."""
        (row,) = await self.world.fetch(
            "select count(*) filter (where m.state in ('updating', 'proving')) as under_way, "
            "count(*) filter (where m.told_at is not null and m.wave > r.wave) as early "
            "from rollout_members m join rollouts r on r.id = m.rollout "
            "where r.number = (select max(number) from rollouts)"
        )
        assert row["under_way"] <= AT_ONCE
        assert row["early"] == 0


@pytest.fixture
def fleet(world: World) -> Fleet:
    """Return a world whose agents can be told."""
    return Fleet(world)


async def test_a_version_reaches_all_wave_by_wave(fleet: Fleet) -> None:
    """One, five, twenty-five, all in a hundred; each is told once, and at no look more than may be."""
    owners = await run_fleet(fleet.world, 120)
    begun = await fleet.start()
    assert [wave.containers for wave in begun.waves] == [1, 5, 24, 90]
    for _ in range(200):
        await fleet.look()
        await fleet.check_bounds()
        if (await fleet.newest()).state is RolloutState.DONE:
            break
    assert await fleet.states() == {"updated": 120}
    assert sorted(fleet.agents.told()) == sorted(owners)


async def test_two_processes_tell_nobody_twice_and_no_more_at_once(fleet: Fleet) -> None:
    """Both look as fast as they can, over agents that take their time: bounds hold whenever anybody looks."""
    await run_fleet(fleet.world, 60)
    fleet.agents.fate = lambda _owner: None
    await fleet.start(shares=[50, 100])
    other, chance = fleet.another_worker(), random.Random(4)
    for _ in range(300):
        await asyncio.gather(fleet.look(), fleet.look(other))
        await fleet.check_bounds()
        for owner, order in fleet.agents.orders:
            if chance.random() < 0.5:
                await tell_outcome(fleet.agents, owner, order, AgentUpdateState.DONE)
        if (await fleet.newest()).state is RolloutState.DONE:
            break
    assert await fleet.states() == {"updated": 60}
    assert len(set(fleet.agents.told())) == len(fleet.agents.told()) == 60


@pytest.mark.parametrize("fate", [AgentUpdateState.FAILED, AgentUpdateState.UNDONE])
async def test_a_canary_that_fails_halts_all(fleet: Fleet, fate: AgentUpdateState) -> None:
    """Nobody else is told, and the reason names the container."""
    await run_fleet(fleet.world, 40)
    fleet.agents.fate = lambda _owner: fate
    await fleet.start()
    halted = await fleet.look_until(RolloutState.HALTED)
    (row,) = await fleet.world.fetch("select vmid from containers where owner = $1", UUID(fleet.agents.told()[0]))
    assert halted.reason is not None
    assert str(row["vmid"]) in halted.reason
    for _ in range(5):
        await fleet.look()
    assert len(fleet.agents.told()) == 1


async def test_too_many_failures_halt_a_later_wave(fleet: Fleet) -> None:
    """The fourth failure is one too many; those that were told by then come to an end, and nobody else is told."""
    await run_fleet(fleet.world, 100)
    first: list[OwnerMark] = []
    fleet.agents.fate = lambda owner: (
        AgentUpdateState.DONE if owner == (first or first.append(owner) or first)[0] else AgentUpdateState.FAILED  # type: ignore[func-returns-value]
    )
    await fleet.start(shares=[100])
    halted = await fleet.look_until(RolloutState.HALTED)
    assert halted.reason is not None
    assert 4 <= (await fleet.states())["failed"] <= AT_ONCE
    told = len(fleet.agents.told())
    await fleet.look()
    assert len(fleet.agents.told()) == told


async def test_paused_tells_nobody_and_resumed_goes_on(fleet: Fleet) -> None:
    """From the answer to the pause on no further container is told; who is under way gets to an end."""
    await run_fleet(fleet.world, 30)
    fleet.agents.fate = lambda _owner: None
    begun = await fleet.start(shares=[100])
    await fleet.look()
    await tell_outcome(fleet.agents, *fleet.agents.orders[0], AgentUpdateState.DONE)
    for _ in range(4):
        await fleet.look()
    assert len(fleet.agents.told()) == 1 + AT_ONCE
    assert (await fleet.service.pause(UUID(begun.id))).state is RolloutState.PAUSED
    for owner, order in fleet.agents.orders:
        await tell_outcome(fleet.agents, owner, order, AgentUpdateState.DONE)
    for _ in range(4):
        await fleet.look()
    assert await fleet.states() == {"updated": 1 + AT_ONCE, "waiting": 30 - 1 - AT_ONCE}
    await fleet.service.resume(UUID(begun.id))
    fleet.agents.fate = lambda _owner: AgentUpdateState.DONE
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 30}


async def test_retried_are_told_another_attempt(fleet: Fleet) -> None:
    """The agent tells the attempts apart, and what it says of the first counts for nothing."""
    await run_fleet(fleet.world, 3)
    fleet.agents.fate = lambda _owner: AgentUpdateState.FAILED
    begun = await fleet.start()
    await fleet.look_until(RolloutState.HALTED)
    fleet.agents.fate = lambda _owner: AgentUpdateState.DONE
    assert (await fleet.service.retry(UUID(begun.id))).state is RolloutState.RUNNING
    await fleet.look_until(RolloutState.DONE)
    first, second = (order.attempt for _, order in fleet.agents.orders[:2])
    assert second == first + 1
    assert await fleet.states() == {"updated": 3}


async def test_what_became_of_an_earlier_rollout_counts_for_nothing(fleet: Fleet) -> None:
    """The same version once more: who failed or was undone is told anew, above all that it has ever been told."""
    await run_fleet(fleet.world, 3)
    fleet.agents.fate = lambda _owner: AgentUpdateState.UNDONE
    begun = await fleet.start()
    await fleet.look_until(RolloutState.HALTED)
    await fleet.service.retry(UUID(begun.id))
    await fleet.look_until(RolloutState.HALTED)
    before = [order.attempt for _, order in fleet.agents.orders]
    await fleet.service.cancel(UUID(begun.id))
    fleet.agents.fate = lambda _owner: AgentUpdateState.DONE
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    assert min(order.attempt for _, order in fleet.agents.orders[len(before) :]) > max(before)
    (newest,) = await fleet.world.fetch(
        "select count(*) from rollout_members m join rollouts r on r.id = m.rollout "
        "where r.number = (select max(number) from rollouts) and m.state = 'updated'"
    )
    assert newest["count"] == 3


async def test_going_on_behind_a_halt_accepts_who_has_failed(fleet: Fleet) -> None:
    """What a person has seen halts nothing any more."""
    await run_fleet(fleet.world, 3)
    fleet.agents.fate = lambda _owner: AgentUpdateState.FAILED
    begun = await fleet.start()
    await fleet.look_until(RolloutState.HALTED)
    fleet.agents.fate = lambda _owner: AgentUpdateState.DONE
    await fleet.service.resume(UUID(begun.id))
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 2, "failed": 1}


async def test_who_is_offline_is_told_when_back(fleet: Fleet) -> None:
    """Those that are off hold nobody up, and are told behind the end too."""
    owners = await run_fleet(fleet.world, 6)
    away = owners[3:]
    await fleet.world.fetch(
        "update containers set connection = 'offline', observed_at = now() - interval '1 hour' "
        "where owner = any($1::uuid[]) returning 1",
        [UUID(owner) for owner in away],
    )
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 3, "waiting": 3}
    await fleet.world.fetch("update containers set connection = 'online' returning 1")
    await fleet.look()
    await fleet.look()
    assert await fleet.states() == {"updated": 6}


OFF = "update containers set guest = 'stopped', connection = 'offline', power = $2 where owner = $1 returning 1"


async def stop_canary(fleet: Fleet, *, power: str) -> None:
    """Begin a roll-out to six, and have the guest of the first go down as soon as it was told."""
    await run_fleet(fleet.world, 6)
    await fleet.start()
    await fleet.look()
    (canary,) = await fleet.world.fetch("select owner from rollout_members where state = 'updating'")
    await fleet.world.fetch(OFF, canary["owner"], power)


async def test_who_is_switched_off_on_the_way_has_another_turn(fleet: Fleet) -> None:
    """However long it is off: that halts nothing, the canary included, and it is told again once it runs."""
    await stop_canary(fleet, power="off")
    await fleet.world.fetch("update rollout_members set silent_since = now() - interval '1 day' returning 1")
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 5, "waiting": 1}
    await fleet.world.fetch("update containers set guest = 'running', connection = 'online', power = 'on' returning 1")
    await fleet.look()
    await fleet.look()
    assert await fleet.states() == {"updated": 6}


async def test_who_goes_down_by_itself_on_the_way_has_failed(fleet: Fleet) -> None:
    """A version that takes its guest down is no version for others."""
    await stop_canary(fleet, power="on")
    await fleet.look()
    await fleet.world.fetch("update rollout_members set silent_since = now() - interval '1 day' returning 1")
    await fleet.look()
    assert (await fleet.newest()).state is RolloutState.HALTED


async def test_who_is_switched_off_again_and_again_holds_up_nobody(fleet: Fleet) -> None:
    """Its turn is behind all others then."""
    await run_fleet(fleet.world, 40)
    await fleet.start()
    told = "select owner, wave from rollout_members where state = 'updating' and wave > 0 limit 1"
    while not (found := await fleet.world.fetch(told)):
        await fleet.look()
    await fleet.world.fetch(OFF, found[0]["owner"], "off")
    await fleet.look()
    (row,) = await fleet.world.fetch(
        "select m.state, m.wave, m.not_before, (select max(wave) from rollout_members) as last "
        "from rollout_members m where owner = $1",
        found[0]["owner"],
    )
    assert (row["state"], row["wave"], row["not_before"] is None) == ("waiting", row["last"], False)
    assert row["wave"] > found[0]["wave"]


async def test_an_api_that_was_away_takes_nobody_for_absent(fleet: Fleet) -> None:
    """All agents are offline for the moment in which no process holds their links: no wave is through by that."""
    await run_fleet(fleet.world, 40)
    await fleet.start()
    await fleet.look()
    await fleet.look()
    await fleet.world.fetch("update containers set connection = 'offline' returning 1")
    for _ in range(6):
        await fleet.look()
    assert (await fleet.newest()).wave <= 1


async def test_a_container_that_comes_from_an_old_template_is_taken_in(fleet: Fleet) -> None:
    """Whoever appears later with an older agent belongs to the last wave."""
    await run_fleet(fleet.world, 3)
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    await run_fleet(fleet.world, 2)
    await run_fleet(fleet.world, 1, version=NEW)
    await fleet.world.fetch("update rollouts set swept_at = now() - interval '1 hour' returning 1")
    for _ in range(3):
        await fleet.look()
    assert await fleet.states() == {"updated": 5}


async def test_who_cannot_be_told_is_named_and_waited_for_by_nobody(fleet: Fleet) -> None:
    """Agents from before this protocol, those that are fixed, and one that knows no such call."""
    (old,) = await run_fleet(fleet.world, 1, protocol=9)
    (fixed,) = await run_fleet(fleet.world, 1)
    await fleet.world.fetch(
        "update containers set agent_status = agent_status || $2::jsonb where owner = $1 returning 1",
        UUID(fixed),
        {"agent": {"version": OLD, "fixedBecause": "It is the checkout's."}},
    )
    (unknowing,) = await run_fleet(fleet.world, 1)
    fleet.agents.refusals[unknowing] = AgentRefused(status=404, agent_code="not_found", detail="x")
    await run_fleet(fleet.world, 2)
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 2, "too_old": 2, "fixed": 1}
    assert not {old, fixed} & set(fleet.agents.told())


async def test_a_busy_container_is_left_for_later(fleet: Fleet) -> None:
    """One whose versions change, or that is restarted, is told once that is over."""
    owners = await run_fleet(fleet.world, 3)
    busy = owners[0]
    await fleet.world.fetch(
        "update containers set spec_generation = spec_generation + 1 where owner = $1 returning 1", UUID(busy)
    )
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    assert busy not in fleet.agents.told()
    await fleet.world.fetch(
        "update containers set agent_status = "
        "agent_status || jsonb_build_object('observedGeneration', spec_generation) returning 1"
    )
    await fleet.world.fetch("update rollout_members set not_before = null returning 1")
    await fleet.look()
    await fleet.look()
    assert busy in fleet.agents.told()


async def test_who_was_not_reached_is_told_again(fleet: Fleet) -> None:
    """By whichever process is there once the call's time is over; the member stays the same attempt."""
    (owner,) = await run_fleet(fleet.world, 1)
    fleet.agents.refusals[owner] = AgentUnreachable("it is away")
    await fleet.start()
    await fleet.look()
    assert fleet.agents.told() == [owner]
    await fleet.look()
    assert fleet.agents.told() == [owner]
    fleet.agents.refusals.clear()
    await fleet.world.fetch("update rollout_members set call_at = now() returning 1")
    await fleet.look(fleet.another_worker())
    assert [(of, order.attempt - fleet.agents.orders[0][1].attempt) for of, order in fleet.agents.orders] == [
        (owner, 0)
    ] * 2
    await fleet.look_until(RolloutState.DONE)


async def test_who_was_not_reached_before_a_pause_is_told_behind_it(fleet: Fleet) -> None:
    """No call goes out while it is paused, however long that is, and nobody is late for it."""
    (owner,) = await run_fleet(fleet.world, 1)
    fleet.agents.refusals[owner] = AgentUnreachable("it is away")
    begun = await fleet.start()
    await fleet.look()
    await fleet.service.pause(UUID(begun.id))
    fleet.agents.refusals.clear()
    await fleet.world.fetch(
        "update rollout_members set call_at = now(), patient_from = now() - interval '1 day' returning 1"
    )
    await fleet.look()
    assert fleet.agents.told() == [owner]
    assert await fleet.states() == {"updating": 1}
    await fleet.service.resume(UUID(begun.id))
    await fleet.look_until(RolloutState.DONE)
    assert await fleet.states() == {"updated": 1}


async def test_who_was_not_reached_before_the_end_is_left_alone(fleet: Fleet) -> None:
    """One that is cancelled leaves nobody under way whom nobody calls, and is looked at no more."""
    (owner,) = await run_fleet(fleet.world, 1)
    fleet.agents.refusals[owner] = AgentUnreachable("it is away")
    begun = await fleet.start()
    await fleet.look()
    await fleet.service.cancel(UUID(begun.id))
    await fleet.look()
    assert await fleet.states() == {"waiting": 1}
    assert await fleet.world.fetch("select from rollouts where due_at < 'infinity'") == []


async def test_a_process_that_dies_between_the_decision_and_the_call_loses_nobody(fleet: Fleet) -> None:
    """What was decided is on disk: another process tells once the first one's time is over."""
    (owner,) = await run_fleet(fleet.world, 1)
    await fleet.start()
    async with fleet.world.database.transaction() as connection:
        newest = await store.fetch_newest(connection)
        assert newest is not None
        await store.tell(connection, newest.id, [owner])
        assert len(await store.take_calls(connection, newest)) == 1
    await fleet.look()
    assert fleet.agents.told() == []
    await fleet.world.fetch("update rollout_members set call_at = now() returning 1")
    await fleet.look(fleet.another_worker())
    assert fleet.agents.told() == [owner]
    await fleet.look_until(RolloutState.DONE)


async def test_what_strangers_report_ends_no_look(fleet: Fleet) -> None:
    """Numbers beyond all bounds, other shapes, endless names: each stays with its container."""
    owners = await run_fleet(fleet.world, 5)
    hostile: list[dict[str, Any]] = [
        {"protocolVersion": 10**400},
        {"protocolVersion": "ten"},
        {"agent": {"version": 7}},
        {"agent": {"version": OLD, "update": {"state": "dancing"}}},
        {"agentVersion": "9" * 10_000},
    ]
    for owner, report in zip(owners, hostile, strict=True):
        await fleet.world.fetch(
            "update containers set agent_status = agent_status || $2::jsonb where owner = $1 returning 1",
            UUID(owner),
            report,
        )
    good = await run_fleet(fleet.world, 3)
    await fleet.start()
    await fleet.look_until(RolloutState.DONE)
    assert set(good) <= set(fleet.agents.told())
    agents = await fleet.service.fetch_agents(after=0, limit=100)
    assert len(agents.containers) == 8
    assert all(len(each.version) <= 64 for each in agents.versions)


async def test_what_is_refused_of_a_wish(fleet: Fleet) -> None:
    """A version that is not offered, one that is older than what is in use, containers that cannot come first."""
    await run_fleet(fleet.world, 1, version=NEWER)
    await run_fleet(fleet.world, 1)
    with pytest.raises(AgentNotOffered):
        await fleet.start(version="7.0.0")
    # What an agent calls itself bars no version, be it offered or not.
    offer_agents(fleet.world, NEWER, NEW)
    await fleet.start()
    with pytest.raises(CanaryUnsuitable):
        await fleet.start(version=NEWER, canaries=[999_999])
    await fleet.start(version=NEWER)
    await fleet.look_until(RolloutState.DONE)
    with pytest.raises(RolloutGoesBack):
        await fleet.start()


async def reach(fleet: Fleet, owner: UUID, generation: str) -> None:
    """Have an agent report that it has reached a generation of its spec."""
    await fleet.world.fetch(
        f"update containers set agent_status = agent_status || jsonb_build_object('observedGeneration', {generation}) "
        "where owner = $1 returning 1",
        owner,
    )


HOSTILE = [
    "9" * 5000,
    "a1" * 100_000,
    "",
    "\N{REPLACEMENT CHARACTER}",
    "1." * 500,
    "-1",
    "\N{FULLWIDTH DIGIT NINE}" * 70,
]


@pytest.mark.parametrize("said", HOSTILE)
async def test_whatever_one_agent_says_stays_with_its_container(fleet: Fleet, said: str) -> None:
    """Every text and number of its report, long, empty or strange, before it is told and while it is under way."""
    strange, *others = await run_fleet(fleet.world, 3)
    (vmid,) = [row["vmid"] for row in await fleet.world.fetch("select vmid from containers where owner = $1", strange)]
    fleet.agents.fate = lambda owner: None if owner == strange else AgentUpdateState.DONE
    await fleet.start(canaries=[vmid], shares=[100])
    await fleet.look()
    fields = ("version", "state", "before", "startedAt", "attempt", "exitCode", "code", "output", "message")
    update = dict.fromkeys(fields, said)
    for agent in (
        {"version": said, "update": update, "fixedBecause": said},
        {"update": {**update, "version": NEW}},
        said,
    ):
        report = {"agentVersion": said, "protocolVersion": said, "agent": agent}
        await fleet.world.fetch(
            "update containers set agent_status = agent_status || $2::jsonb where owner = $1 returning 1",
            strange,
            report,
        )
        for _ in range(3):
            await fleet.look()
        assert await fleet.service.render_metrics()
        assert len((await fleet.service.fetch_agents(after=0, limit=10)).containers) == 3
        await fleet.service.fetch_detail(UUID((await fleet.newest()).id), state=None, after="", limit=10)
    assert len(others) == 2


@pytest.mark.parametrize("code", ["x\0", "\ud800", "x" * 10_000, ""])
async def test_whatever_one_agent_refuses_with_stays_with_its_container(fleet: Fleet, code: str) -> None:
    """A refusal that no database could hold is written down as far as it can be."""
    (owner,) = await run_fleet(fleet.world, 1)
    fleet.agents.refusals[owner] = AgentRefused(status=409, agent_code=code, detail=code * 2)
    await fleet.start()
    for _ in range(3):
        await fleet.look()
    assert await fleet.states() == {"failed": 1}


async def test_who_is_busy_for_ever_keeps_the_new_version_from_nobody(fleet: Fleet) -> None:
    """A container that never comes to rest is told once it does, and the waves behind its own come in their time."""
    owners = await run_fleet(fleet.world, 20)
    await fleet.start(shares=[50, 100])
    (busy,) = await fleet.world.fetch("select owner from rollout_members where wave = 1 order by place limit 1")
    await reach(fleet, busy["owner"], "0")
    for _ in range(60):
        # Its pause is over at each look, and it is busy again.
        await fleet.world.fetch(
            "update rollout_members set not_before = now() where not_before is not null returning 1"
        )
        await fleet.look()
        if (await fleet.newest()).state is RolloutState.DONE:
            break
    assert await fleet.states() == {"updated": len(owners) - 1, "waiting": 1}
    await reach(fleet, busy["owner"], "spec_generation")
    await fleet.world.fetch("update rollout_members set not_before = now() where state = 'waiting' returning 1")
    for _ in range(3):
        await fleet.look()
    assert await fleet.states() == {"updated": len(owners)}


async def test_the_first_ones_begin_one_after_the_other(fleet: Fleet) -> None:
    """Where none was before: two operators at once both begin one, and the later supersedes."""
    await run_fleet(fleet.world, 3)
    begun = await asyncio.gather(*(fleet.start() for _ in range(4)))
    states = [each.state for each in (await fleet.service.fetch_page(before=None, limit=9))[0]]
    assert len({each.id for each in begun}) == 4
    assert states == [RolloutState.RUNNING, *[RolloutState.SUPERSEDED] * 3]


async def test_a_newer_one_supersedes(fleet: Fleet) -> None:
    """Of two only the newer one tells anybody, and what is over cannot be moved."""
    await run_fleet(fleet.world, 3)
    before = await fleet.start()
    offer_agents(fleet.world, NEWER, NEW)
    await fleet.start(version=NEWER)
    await fleet.look_until(RolloutState.DONE)
    assert {order.version for _, order in fleet.agents.orders} == {NEWER}
    assert (await fleet.service.fetch_page(before=None, limit=9))[0][1].state is RolloutState.SUPERSEDED
    with pytest.raises(RolloutNotSoFar):
        await fleet.service.resume(UUID(before.id))
    with pytest.raises(NotFound):
        await fleet.service.pause(UUID(int=1))


async def test_members_are_paged_those_that_failed_first(fleet: Fleet) -> None:
    """Every member comes once, whatever the length of a page."""
    owners = await run_fleet(fleet.world, 12)
    begun = await fleet.start()
    await fleet.world.fetch(
        "update rollout_members set state = 'failed', code = 'x' where owner = $1 returning 1", UUID(owners[7])
    )
    seen: list[RolloutMember] = []
    after = ""
    while True:
        page = await fleet.service.fetch_detail(UUID(begun.id), state=None, after=after, limit=5)
        seen.extend(page.members)
        if isinstance(page.next, UnsetType):
            break
        after = page.next
    assert len({each.vmid for each in seen}) == len(seen) == 12
    assert seen[0].state == "failed"


@asynccontextmanager
async def running(fleet: Fleet, *workers: RolloutWorker) -> AsyncIterator[None]:
    """Run workers as API processes do, woken by the database."""
    tasks = []
    for worker in workers:
        tasks.append(asyncio.create_task(worker.run()))
        channels: dict[str, Callable[[str], None]] = {"rollout_due": worker.wake}
        tasks.append(asyncio.create_task(fleet.world.database.listen(channels, on_connect=worker.wake)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_processes_that_run_and_one_that_ends_bring_it_to_its_end(fleet: Fleet) -> None:
    """By themselves, by the times of the database; one of two goes in the middle of it."""
    await run_fleet(fleet.world, 12)
    async with running(fleet, fleet.worker):
        async with running(fleet, fleet.another_worker()):
            await fleet.start(shares=[100])
            await fleet.world.wait_until("select count(*) >= 1 from rollout_members where state = 'updated'")
        await fleet.world.wait_until("select state = 'done' from rollouts")
    assert await fleet.states() == {"updated": 12}

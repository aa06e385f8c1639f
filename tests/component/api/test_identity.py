"""Identities that are renewed before they run out, without a restart of the container."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from component.api.test_reconciler import kill, settled
from fakes.api_world import World
from zlh_api.agents.client import AgentRefused, AgentUnreachable
from zlh_api.reconcile.identity_rules import IDENTITY_MARGIN
from zlh_common.errors import ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.status import Lifecycle

RENEWED = "select identity_expires_at > now() + interval '300 days' and lease_until is null from containers"
REFUSED = AgentRefused(status=422, agent_code="identity_refused", detail="it says no")


async def near_its_end(world: World, *, days: float = 10, protocol: int = 3) -> None:
    """Bring a container up whose identity has so many days left."""
    world.agents.protocol_version = protocol
    await settled(world)
    await world.fetch(
        "update containers set identity_expires_at = $1, identity_known = 'k', wake_at = now() returning 1",
        datetime.now(UTC) + timedelta(days=days),
    )


async def test_an_identity_is_renewed_before_it_runs_out(world: World) -> None:
    """The agent is given another one; the guest runs on."""
    await near_its_end(world)
    async with world.reconciler():
        await world.wait_until(RENEWED)
    assert world.faults.calls == ["call"]
    assert world.agents.calls == [("POST", "/identity")]
    assert world.driver.guests[Vmid(101)].is_running


@pytest.mark.parametrize(("days", "protocol"), [(IDENTITY_MARGIN.days + 1, 3), (10, 2)])
async def test_what_lasts_and_who_cannot_are_left_alone(world: World, days: float, protocol: int) -> None:
    """An agent of before that knows nothing of it gets its identity at its next start, as ever."""
    await near_its_end(world, days=days, protocol=protocol)
    async with world.reconciler():
        await world.wait_until("select lease_until is null and wake_at > now() from containers")
    assert world.agents.calls == []


@pytest.mark.parametrize("answer", [REFUSED, b"{}", b'{"expiresAt":"2020-01-01T00:00:00Z"}', b"\xff"])
async def test_an_agent_that_does_not_take_it_is_told_of(world: World, answer: ZlhError | bytes) -> None:
    """Nothing is taken from the container, which has weeks left; it is tried again until it works."""
    await near_its_end(world)
    world.agents.answers["POST /identity"] = answer
    async with world.reconciler():
        await world.wait_until("select attempts >= 2 from containers")
        told = world.containers.report(await world.containers.find(Vmid(101)))
        assert (told.ready, told.lifecycle, told.degraded) == (True, Lifecycle.RUNNING, ("identity_not_renewed",))
        del world.agents.answers["POST /identity"]
        await world.wait_until(RENEWED)
    assert world.containers.report(await world.containers.find(Vmid(101))).degraded == ()


async def test_what_an_api_of_before_has_given_is_not_known(world: World) -> None:
    """Beside a newer one, it writes the end alone: the agent stays in reach, and has another one soon."""
    await near_its_end(world)
    (before,) = await world.fetch(
        "update containers set identity_expires_at = now() + interval '1 year', identity_wanted = '{w}' "
        "returning identity_known, identity_wanted, identity_issued_until > now() + interval '364 days' as is_later"
    )
    assert tuple(before) == (None, [], True)
    async with world.reconciler():
        await world.wait_until("select identity_known is not null and lease_until is null from containers")
    assert world.agents.calls == [("POST", "/identity")]


async def test_every_attempt_that_may_have_arrived_is_accepted(world: World) -> None:
    """What an agent has answered to is known; what it has refused is forgotten, and what nobody heard of is not."""
    await near_its_end(world)
    world.faults.fail("call", AgentUnreachable("it does not answer"), AgentUnreachable("it does not answer"))
    world.agents.answers["POST /identity"] = REFUSED
    async with world.reconciler():
        await world.wait_until("select attempts >= 3 from containers")
        await world.wait_until("select cardinality(identity_wanted) = 2 and lease_until is null from containers")
        del world.agents.answers["POST /identity"]
        await world.wait_until("select identity_wanted = '{}' and lease_until is null from containers")
    (row,) = await world.fetch("select identity_known, identity_issued_until from containers")
    last = x509.load_pem_x509_certificate(world.agents.identities[-1].certificate.encode())
    assert row["identity_known"] == last.fingerprint(SHA256())
    # Each was made to last longer than the one before, whether or not that has arrived.
    ends = [
        x509.load_pem_x509_certificate(each.certificate.encode()).not_valid_after_utc
        for each in world.agents.identities
    ]
    assert ends == sorted(set(ends))
    assert ends[-1] == row["identity_issued_until"]


async def test_killed_after_the_agent_took_it(world: World) -> None:
    """Nobody has written it down, so the next one gives it another, which is as good."""
    await near_its_end(world)
    await kill(world, 1)
    async with world.reconciler():
        await world.wait_until(RENEWED)
    assert world.agents.calls == [("POST", "/identity")] * 2

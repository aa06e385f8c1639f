"""Records on a real database: their steps, what happens while a provider is away, and what the patrol puts right."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from component.api.test_audit import both, wait_mended, wait_report
from component.api.test_reconciler import kill
from component.api.test_waiting import step_of
from fakes.api_world import World
from fakes.audited import assert_clean
from fakes.dns_provider import FakeProvider
from fakes.wishes import want_container, want_deletion
from zlh_api.audit.commands import ProviderConfigured, ProviderUnknown, run
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor
from zlh_api.containers import store as containers
from zlh_api.dns.model import Record
from zlh_api.dns.port import DnsCredentialsRefused
from zlh_api.drivers.port import SystemAway
from zlh_api.exposures import store as exposures
from zlh_api.reconcile.pace import Pace
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import FindingKind, Remedy

HOST, PORT_HOST = "dev-101.localhost", "3000-dev-101.localhost"
QUICK = Pace(poll_s=0.02, first_retry_s=0.02, most_retry_s=0.1, spread_s=0.05)
FOREIGN = Record(HOST, "A", "198.51.100.7", 300)


@pytest.fixture(autouse=True)
def _a_quick_patrol(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of a tenth of a second."""
    monkeypatch.setattr("zlh_api.audit.patrol.EVERY_S", 0.1)
    monkeypatch.setattr("zlh_api.audit.patrol.CONFIRM_S", 0.05)
    monkeypatch.setattr("zlh_api.audit.commands.BETWEEN_LOOKS_S", 0.0)


def use(world: World, *names: str) -> list[FakeProvider]:
    """Give the world providers."""
    providers = [FakeProvider(world.faults, name) for name in names]
    world.use_dns(*providers)
    return providers


def be_away(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it answer nothing any more."""

    async def refuse(*_arguments: object) -> None:
        raise SystemAway(system="the DNS provider public", reason="refused", retry_in_s=0.0)

    for call in ("find", "apply", "survey"):
        monkeypatch.setattr(provider, call, refuse)


async def add(world: World) -> OwnerMark:
    """Want a container with names."""
    async with world.database.transaction() as connection:
        return await want_container(connection, has_dns=True)


async def publish(world: World, owner: OwnerMark, port: int = 3000) -> UUID:
    """Publish a port."""
    async with world.database.transaction() as connection:
        return await exposures.insert_exposure(
            connection, exposure_id=uuid4(), owner=owner, port=port, visibility="public", expires_at=None
        )


async def delete(world: World, owner: OwnerMark) -> None:
    """Want it gone."""
    async with world.database.transaction() as connection:
        await want_deletion(connection, owner, has_dns=True)


async def states(world: World) -> dict[str, str]:
    """Return the state of each step."""
    return {row["name"]: row["state"] for row in await world.fetch("select name, state from steps")}


async def test_a_new_container_has_its_names_at_every_provider(world: World) -> None:
    """In the order that people are shown, and all of it is gone with the container."""
    public, internal = use(world, "public", "internal")
    owner = await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
        assert public.names(owner) == internal.names(owner) == [HOST]
        assert set((await states(world)).values()) == {"done"}
        exposure = await publish(world, owner)
        await wait_mended(world, lambda: public.names(owner) == internal.names(owner) == [PORT_HOST, HOST])
        async with world.database.transaction() as connection:
            await exposures.delete_exposure(connection, owner, exposure)
        await wait_mended(world, lambda: public.names() == internal.names() == [HOST])
        await delete(world, owner)
        await world.wait_forgotten()
    assert public.names() == internal.names() == []
    order = [call for call in world.faults.calls if call in {"withdraw", "ensure_destroyed", "delete_record"}]
    assert order[-4:] == ["withdraw", "ensure_destroyed", "delete_record", "delete_record"]
    await assert_clean(world)


async def test_without_a_provider_its_steps_are_skipped(world: World) -> None:
    """Of a life from its beginning to its end."""
    async with world.database.transaction() as connection:
        owner = await want_container(connection)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
    told = await states(world)
    assert (told["publish-records"], told["answer-dns"]) == ("skipped", "skipped")
    async with world.database.transaction() as connection:
        await want_deletion(connection, owner)
    assert (await states(world))["withdraw-records"] == "skipped"


async def test_a_provider_that_is_away_keeps_a_new_container_waiting_and_no_other_provider(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step says what it waits for, nothing has failed, and what the other was given is not asked for again."""
    public, internal = use(world, "public", "internal")
    owner = await add(world)
    with monkeypatch.context() as patched:
        be_away(public, patched)
        async with world.reconciler(pace=QUICK):
            await world.wait_until("select waiting_for = 'away:the DNS provider public' from containers")
            await wait_mended(world, lambda: internal.names() == [HOST])
            step = await step_of(world, owner, "publish-records")
            assert (step.state, step.code, step.attempts) == ("pending", "system_away", 0)
            asked = world.faults.calls.count("find_records")
            await asyncio.sleep(0.3)
            assert world.faults.calls.count("find_records") == asked
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
    assert public.names() == [HOST]


async def test_a_provider_that_is_away_blocks_only_its_own_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ready stays so and takes other wishes; its new port leads there as soon as the provider is back."""
    (public,) = use(world, "public")
    owner = await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
        with monkeypatch.context() as patched:
            be_away(public, patched)
            await publish(world, owner)
            await world.wait_until("select count(*) = 1 from steps where name = 'publish-records' and code is not null")
            async with world.database.connection() as connection:
                container = await containers.find_by_owner(connection, owner)
            assert container is not None
            report = world.containers.report(container)
            assert (report.ready, report.provisioning_error, report.degraded) == (True, None, ("records_pending",))
            async with world.database.transaction() as connection:
                await containers.ask_restart(connection, owner)
            await world.wait_until("select restart_done = 1 from containers")
        await wait_mended(world, lambda: public.names() == [PORT_HOST, HOST])
        await world.wait_until("select count(*) = 0 from steps where code is not null")


async def test_an_outage_of_dns_lets_the_guest_go_and_keeps_the_address(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number and address are given to nobody while a name may lead there."""
    (public,) = use(world, "public")
    owner = await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
        with monkeypatch.context() as patched:
            be_away(public, patched)
            await delete(world, owner)
            await world.wait_until("select waiting_for is not null from containers")
            assert world.driver.guests == {}
            (row,) = await world.fetch("select address from containers")
            assert row["address"] is not None
        await world.wait_forgotten()
    assert public.names() == []


async def test_a_provider_that_is_configured_no_more_blocks_nothing(world: World) -> None:
    """Neither a container that stays nor one that goes; what is left there is not ours to reach any more."""
    public, old = use(world, "public", "old")
    owner, other = await add(world), await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
        await world.wait_settled(other)
    world.use_dns(public)
    async with world.reconciler(pace=QUICK):
        await publish(world, owner)
        await delete(world, other)
        await world.wait_until("select count(*) = 1 from containers")
        await wait_mended(world, lambda: public.names() == [PORT_HOST, HOST])
        await delete(world, owner)
        await world.wait_forgotten()
    assert public.names() == []
    assert len(old.names()) == 2


async def test_a_provider_that_is_added_later_gets_what_there_is(world: World) -> None:
    """The next look of each container writes it there."""
    (public,) = use(world, "public")
    owner = await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_settled(owner)
    later = FakeProvider(world.faults, "later")
    world.use_dns(public, later)
    await world.fetch("update containers set wake_at = now() returning 1")
    async with world.reconciler(pace=QUICK):
        await wait_mended(world, lambda: later.names() == [HOST])


@pytest.mark.parametrize("is_deleting", [False, True], ids=["created", "deleted"])
async def test_killed_after_any_effect_and_resumed(world: World, is_deleting: bool) -> None:
    """Whichever write was the last of a dead worker, its successor arrives where it would have."""
    (public,) = use(world, "public")
    owner = await add(world)
    await publish(world, owner)
    if is_deleting:
        async with world.reconciler(pace=QUICK):
            await world.wait_settled(owner)
        await delete(world, owner)
        # Withdrawn, let go of by the proxy, stopped, destroyed; then a look and two records.
        numbers = range(len(world.faults.calls) + 4, len(world.faults.calls) + 7)
    else:
        numbers = range(8, 13)
    for number in numbers:
        await kill(world, max(number, len(world.faults.calls) + 1))
    async with world.reconciler(pace=QUICK):
        await (world.wait_forgotten() if is_deleting else world.wait_settled(owner))
    assert public.names() == ([] if is_deleting else [PORT_HOST, HOST])


async def test_a_strangers_record_is_named_and_left_alone(world: World) -> None:
    """The container says why it is not ready, and goes on as soon as somebody has removed it."""
    (public,) = use(world, "public")
    public.put(FOREIGN, None)
    owner = await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_until("select count(*) = 1 from steps where code = 'record_foreign'")
        step = await step_of(world, owner, "publish-records")
        assert step.message is not None
        assert HOST in step.message
        assert [record.content for record in public.records] == [FOREIGN.content]
        public.records.clear()
        await world.wait_settled(owner)


async def test_what_a_provider_refuses_is_told_before_what_another_waits_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person can do something about it."""
    public, internal = use(world, "public", "internal")
    be_away(public, monkeypatch)

    async def refuse(*_arguments: object) -> None:
        raise DnsCredentialsRefused(provider="internal", reason="Invalid token")

    monkeypatch.setattr(internal, "find", refuse)
    await add(world)
    async with world.reconciler(pace=QUICK):
        await world.wait_until("select count(*) = 1 from steps where code = 'dns_credentials_refused'")


def lose(provider: FakeProvider) -> None:
    """Delete all records by hand."""
    provider.records.clear()


def lead_astray(provider: FakeProvider) -> None:
    """Let the first lead elsewhere."""
    provider.records[0] = replace(provider.records[0], content="198.51.100.7")


def double(provider: FakeProvider) -> None:
    """Copy one with its mark and lead it elsewhere."""
    provider.records.append(replace(provider.records[0], content="198.51.100.7", handle="copy"))


def add_a_port(provider: FakeProvider) -> None:
    """Make one up, with our mark, at a name that nobody has written."""
    name = f"9000-{HOST}"
    provider.records.append(replace(provider.records[0], name=name, handle="made up"))


@pytest.mark.parametrize("hand", [lose, lead_astray, double, add_a_port])
async def test_what_hands_did_is_undone_at_the_next_look(world: World, hand: Callable[[FakeProvider], None]) -> None:
    """At one provider while the other cannot be looked at, which hides nothing."""
    public, internal = use(world, "public", "internal")
    owner = await add(world)
    await publish(world, owner)
    async with both(world):
        await world.wait_settled(owner)
        await wait_report(world)
        await world.wait_until("select wake_at > now() + interval '100 seconds' from containers")
        before = {(record.name, record.content) for record in public.records}
        hand(public)
        await wait_mended(world, lambda: {(each.name, each.content) for each in public.records} == before)
        await world.wait_settled(owner)
        await wait_report(world)
    assert len(public.records) == len(internal.records) == 2
    told = await world.fetch("select subject from happenings where kind = 'records.edited'")
    assert [each["subject"] for each in told] == ["dns:public"]
    await assert_clean(world)


async def test_what_turns_up_after_its_deletion_is_removed_and_an_unknown_mark_is_not(world: World) -> None:
    """Ours by its tombstone, and a record whose mark no book knows."""
    (public,) = use(world, "public")
    owner = await add(world)
    async with both(world):
        await world.wait_settled(owner)
        left = list(public.records)
        await delete(world, owner)
        await world.wait_forgotten()
        unknown = OwnerMark(str(uuid4()))
        public.records = [*left, replace(left[0], name="dev-150.localhost", owner=unknown)]
        await wait_mended(world, lambda: public.names() == ["dev-150.localhost"])
        report = await wait_report(world, FindingKind.ORPHAN)
        assert unknown in report.findings[0].message


async def test_a_provider_that_is_away_hides_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a part of the report by itself."""
    public, internal = use(world, "public", "internal")
    owner = await add(world)
    async with both(world):
        await world.wait_settled(owner)
        be_away(public, monkeypatch)
        internal.records.clear()
        await wait_mended(world, lambda: internal.names() == [HOST])
        report = await wait_report(world)
    parts = {part.name: part.trouble for part in report.parts}
    assert parts["records:internal"] is None
    assert "the DNS provider public is away" in str(parts["records:public"])


async def test_what_is_left_at_a_provider_that_is_configured_no_more_is_told(world: World) -> None:
    """Of containers that there are and of those that went since; once it is back, the platform sees to it by itself."""
    old, new = use(world, "old", "new")
    owner, other = await add(world), await add(world)
    async with both(world):
        await world.wait_settled(owner)
        await world.wait_settled(other)
        world.use_dns(new)
    async with both(world):
        await delete(world, owner)
        await world.wait_until("select count(*) = 1 from containers")
        report = await wait_report(world, FindingKind.ORPHAN)
        (finding,) = report.findings
        assert (finding.where, finding.remedy) == ("old", Remedy.OPERATOR)
        assert f"2 names of ours may still have records there, such as {HOST}" in finding.message
        assert {each.owner for each in old.records} == {owner, other}
    world.use_dns(old, new)
    async with both(world):
        await wait_mended(world, lambda: {each.owner for each in old.records} == {other})
        await world.wait_until("select count(*) = 0 from left_records")
        await wait_report(world)
    await assert_clean(world)


async def test_a_person_says_that_nothing_is_left(world: World) -> None:
    """Believed where nobody can look, once, and written into the log; refused where somebody can."""
    _old, new = use(world, "old", "new")
    owner, other = await add(world), await add(world)
    async with both(world):
        await world.wait_settled(owner)
        await world.wait_settled(other)
        world.use_dns(new)
    async with both(world):
        await delete(world, owner)
        await world.wait_until("select count(*) = 1 from containers")
        await wait_report(world, FindingKind.ORPHAN)
    assert await forget_provider(world, "old") == 0
    assert not (await world.auditor().look()).differences
    (entry,) = await world.fetch("select details from audit_entries where act = 'records.forget'")
    assert entry["details"]["provider"] == "old"
    for name, error in (("old", ProviderUnknown), ("new", ProviderConfigured)):
        with pytest.raises(error):
            await forget_provider(world, name)
    assert len(new.records) == 1


async def forget_provider(world: World, name: str) -> int:
    """Run the command."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Auditor, Remover]]:
        yield world.auditor(), world.remover()

    return await run(argparse.Namespace(audit_command="forget-provider", provider=name), opened)
